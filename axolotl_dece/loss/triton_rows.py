# ruff: noqa: N803 - Triton writes compile-time arguments in capitals
# mypy: disable-error-code="no-untyped-def"
"""DeCE on rows of logits as one Triton kernel: statistics and gradient in one launch, the gradient over the logits.

One program per row. Sweep 1 finds the normaliser (online softmax), sweep 2 the sum of log m and of q * sigma over
the wrong classes, sweep 3 writes the gradient; with label_smoothing = 0 (or plain smoothed cross-entropy) sweep 2
has nothing to do. The target is taken out of its row first and handled as a scalar. Arithmetic is fp32.

The same code runs in Triton's interpreter (TRITON_INTERPRET=1 before this module is imported), without a GPU.
Imported only where Triton is installed.
"""

from __future__ import annotations

import math
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal

import torch
import triton
import triton.language as tl
from torch import Tensor
from triton.language.extra import libdevice

from axolotl_dece.loss.criterion import Mixture
from axolotl_dece.loss.names import IGNORE_INDEX
from axolotl_dece.loss.torch_rows import longest_product

MAX_BLOCK = 8192
"""Classes one program handles at a time; a power of two."""

_LOG2E = tl.constexpr(1.4426950408889634)
_LN2 = tl.constexpr(0.6931471805599453)
_LOWEST = tl.constexpr(-3.0e38)


@triton.jit
def _log2(x, HARDWARE: tl.constexpr):
    if HARDWARE == "nvidia":
        return libdevice.fast_log2f(x)
    else:
        return tl.log2(x)


@triton.jit
def _divide(a, b, HARDWARE: tl.constexpr):
    if HARDWARE != "exact":
        return libdevice.fast_dividef(a, b)
    else:
        return a / b


@triton.jit
def _mask_row(logits, classes, loss, ce, sigma, GRADIENT: tl.constexpr, BLOCK: tl.constexpr):
    """Zeros for a row that is not trained on, whatever it holds."""
    tl.store(loss, 0.0)
    tl.store(ce, 0.0)
    tl.store(sigma, 0.0)
    if GRADIENT:
        columns = tl.arange(0, BLOCK)
        for start in range(0, classes, BLOCK):
            tl.store(logits + start + columns, 0.0, mask=start + columns < classes)


@triton.jit
def _take_target_out(logits, y, classes):
    """Minus infinity in the target's place, and what stood there.

    Taken out of the row, the target needs no exception in any sweep, and 1 - p of a sure row keeps its digits.
    """
    # a target outside the vocabulary makes the loss NaN, which the trainer reports, instead of reading elsewhere
    inside = (y >= 0) & (y < classes)
    y = y.to(tl.int32)
    stored = tl.load(logits + y, mask=inside, other=float("nan"))
    # every thread has read it before one of them writes, and nobody reads the row before that
    tl.debug_barrier()
    tl.store(logits + y, float("-inf"), mask=inside)
    tl.debug_barrier()
    return y, inside, stored


@triton.jit
def _sweep_normaliser(logits, classes, y, SUMMED: tl.constexpr, BLOCK: tl.constexpr):
    """Sweep 1: largest logit, sum of exponentials below it, and (SUMMED) the sum of the wrong classes' logits."""
    columns = tl.arange(0, BLOCK)
    largest = _LOWEST
    norm = 0.0
    total_x = 0.0
    for start in range(0, classes, BLOCK):
        here = start + columns < classes
        x = tl.load(logits + start + columns, mask=here, other=float("-inf")).to(tl.float32)
        new = tl.maximum(largest, tl.max(x))
        norm = norm * tl.exp2((largest - new) * _LOG2E) + tl.sum(tl.exp2((x - new) * _LOG2E))
        largest = new
        if SUMMED:
            total_x += tl.sum(tl.where(here & (start + columns != y), x, 0.0))
    return largest, norm, total_x


@triton.jit
def _with_target(x_target, largest, norm):
    """Largest logit, logarithm-free normaliser and the two probabilities once the target is back in its row."""
    new = tl.maximum(largest, x_target)
    e_target = tl.exp2((x_target - new) * _LOG2E)
    e_others = norm * tl.exp2((largest - new) * _LOG2E)
    norm = e_target + e_others
    return new, norm, e_target / norm, e_others / norm


@triton.jit
def _target_terms(p_target, ce, alpha, floor, label_target, LINEAR: tl.constexpr, FLOORED: tl.constexpr):
    """sigma and log m of the target."""
    if LINEAR:
        sigma_target = 1.0
        log_m_target = -ce
    else:
        m_target = alpha * p_target + label_target
        alive = 1.0
        if FLOORED:
            m_target = alpha * tl.maximum(p_target, floor) + label_target
            alive = tl.where(p_target >= floor, 1.0, 0.0)
        sigma_target = alive * alpha * p_target / m_target
        log_m_target = tl.log(m_target)
    return sigma_target, log_m_target


@triton.jit
def _sweep_rest(
    logits,
    classes,
    largest,
    shift,
    least_t,
    label_rest,
    FLOORED: tl.constexpr,
    BLOCK: tl.constexpr,
    PRODUCT: tl.constexpr,
    HARDWARE: tl.constexpr,
):
    """Sweep 2: sums over the wrong classes of log2(m / least) and of sigma."""
    columns = tl.arange(0, BLOCK)
    log_sum = tl.zeros([BLOCK], tl.float32)
    sigma_sum = tl.zeros([BLOCK], tl.float32)
    for start in range(0, classes, BLOCK * PRODUCT):
        # what is not there has m = 1 and sigma = 0: the target, and what lies behind the last class
        product = tl.full([BLOCK], 1.0, tl.float32)
        for k in tl.static_range(PRODUCT):
            at = start + k * BLOCK + columns
            x = tl.load(logits + at, mask=at < classes, other=float("-inf")).to(tl.float32)
            t = tl.exp2((x - largest) * _LOG2E + shift)
            if FLOORED:
                m = label_rest + tl.maximum(t, least_t)
                sigma_sum += tl.where(t >= least_t, _divide(t, m, HARDWARE), 0.0)
            else:
                m = label_rest + t
                sigma_sum += _divide(t, m, HARDWARE)
            product *= m
        log_sum += _log2(product, HARDWARE)
    return tl.sum(log_sum), tl.sum(sigma_sum)


@triton.jit
def _sweep_gradient(
    logits,
    classes,
    largest,
    shift,
    least_t,
    label_rest,
    slope,
    pull,
    SMOOTHED: tl.constexpr,
    LINEAR: tl.constexpr,
    FLOORED: tl.constexpr,
    BLOCK: tl.constexpr,
    HARDWARE: tl.constexpr,
):
    """Sweep 3: the gradient of the wrong classes over their logits."""
    columns = tl.arange(0, BLOCK)
    for start in range(0, classes, BLOCK):
        here = start + columns < classes
        x = tl.load(logits + start + columns, mask=here, other=float("-inf")).to(tl.float32)
        t = tl.exp2((x - largest) * _LOG2E + shift)
        if not SMOOTHED:
            gradient = t * slope
        elif LINEAR:
            gradient = t * slope - pull
        elif FLOORED:
            held = tl.where(t >= least_t, _divide(pull, label_rest + t, HARDWARE), 0.0)
            gradient = t * (slope - held)
        else:
            gradient = t * (slope - _divide(pull, label_rest + t, HARDWARE))
        tl.store(logits + start + columns, gradient, mask=here)


@triton.jit
def dece_rows(
    logits,  # [N, V], overwritten by the gradient
    row_stride,
    target,  # [N]
    loss,  # [N] fp32, and so the next two
    ce,
    sigma,
    classes,  # V
    ignore_index,
    alpha,
    floor,
    q_target,
    q_rest,
    label_target,  # (1 - alpha) * q_target
    ratio,  # alpha / least, where least = alpha * floor + (1 - alpha) * q_rest: p * ratio is p's part of m / least
    inverse_ratio,  # 1 / ratio, or 0 if alpha = 0
    label_rest,  # (1 - alpha) * q_rest / least
    log_least,
    scale,  # one fp32 number, where SCALED
    SMOOTHED: tl.constexpr,  # q_rest > 0
    LINEAR: tl.constexpr,  # m is p itself: alpha = 1 without a floor
    FLOORED: tl.constexpr,  # floor > 0
    GRADIENT: tl.constexpr,
    SCALED: tl.constexpr,
    BLOCK: tl.constexpr,
    PRODUCT: tl.constexpr,  # how many factors one logarithm takes
    HARDWARE: tl.constexpr,  # "nvidia" or "amd": their approximate division and log2; "exact": neither
):
    row = tl.program_id(0).to(tl.int64)
    logits += row * row_stride
    y = tl.load(target + row)
    if y == ignore_index:
        _mask_row(logits, classes, loss + row, ce + row, sigma + row, GRADIENT, BLOCK)
        return
    y, inside, stored = _take_target_out(logits, y, classes)
    x_target = stored.to(tl.float32)
    largest, norm, total_x = _sweep_normaliser(logits, classes, y, SMOOTHED and LINEAR, BLOCK)
    largest, norm, p_target, p_others = _with_target(x_target, largest, norm)
    log_norm = tl.log(norm)
    ce_row = (largest - x_target) + log_norm
    sigma_target, log_m_target = _target_terms(p_target, ce_row, alpha, floor, label_target, LINEAR, FLOORED)
    # maximum() and where() drop NaN, and a row with NaN must not look healthy
    loss_row = tl.where(norm == norm, -q_target * log_m_target, norm)
    total_rest = 0.0
    tl.store(sigma + row, sigma_target)

    # p_i * ratio = exp2(x_i * log2(e) + shift)
    shift = tl.log2(ratio / norm)

    if SMOOTHED and LINEAR:
        loss_row -= q_rest * (total_x - (classes - 1) * (largest + log_norm))
        total_rest = q_rest * (classes - 1)
    if SMOOTHED and not LINEAR:
        log_sum, sigma_sum = _sweep_rest(
            logits, classes, largest, shift, floor * ratio, label_rest, FLOORED, BLOCK, PRODUCT, HARDWARE
        )
        total_rest = q_rest * sigma_sum
        loss_row -= q_rest * (log_sum * _LN2 + (classes - 1) * log_least)
    tl.store(loss + row, loss_row)
    tl.store(ce + row, ce_row)

    if not GRADIENT:
        tl.debug_barrier()
        tl.store(logits + y, stored, mask=inside)
        return
    weight = 1.0
    if SCALED:
        weight = tl.load(scale)
    total = q_target * sigma_target + total_rest
    slope, pull = total * inverse_ratio * weight, q_rest * weight
    _sweep_gradient(
        logits,
        classes,
        largest,
        shift,
        floor * ratio,
        label_rest,
        slope,
        pull,
        SMOOTHED,
        LINEAR,
        FLOORED,
        BLOCK,
        HARDWARE,
    )
    # every thread's part of the row is written before one of them writes the target
    tl.debug_barrier()
    tl.store(logits + y, (total_rest - p_others * total) * weight, mask=inside)


@triton.jit
def multiply_rows(rows, row_stride, factor, classes, BLOCK: tl.constexpr):
    weight = tl.load(factor)
    # decided on the device, so that nobody waits for it
    if weight == 1.0:
        return
    rows += tl.program_id(0).to(tl.int64) * row_stride
    columns = tl.arange(0, BLOCK)
    for start in range(0, classes, BLOCK):
        here = start + columns < classes
        x = tl.load(rows + start + columns, mask=here).to(tl.float32)
        tl.store(rows + start + columns, x * weight, mask=here)


def dece_rows_kernel(
    logits: Tensor,
    target: Tensor,
    mixture: Mixture,
    *,
    gradient: bool = True,
    scale: Tensor | None = None,
    ignore_index: int = IGNORE_INDEX,
    hardware: Literal["nvidia", "amd", "exact"] | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Loss, cross-entropy and sigma of every row, each [N] in fp32; `logits` [N, V] become the gradient.

    Args:
        logits: bf16, fp16 or fp32 with contiguous rows (any stride between them, also beyond 2^31 elements).
        target: Integers in [0, V) or `ignore_index`, [N]. Any other value gives NaN.
        mixture: One alpha for all rows.
        gradient: False leaves `logits` as they are.
        scale: 0-d fp32 tensor that multiplies the gradient, read on the device.
        ignore_index: Rows with this target give zeros everywhere.
        hardware: Whose approximate division and log2 to use; by default those of the device.
    """
    loss, ce, sigma = torch.empty((3, target.numel()), dtype=torch.float32, device=logits.device).unbind()
    if target.numel() == 0:
        return loss, ce, sigma
    hardware = hardware or _hardware(logits.device)
    constants = launch_constants(mixture, logits.size(1), hardware, logits.dtype)
    block = min(MAX_BLOCK, triton.next_power_of_2(logits.size(1)))
    with _on(logits.device):
        dece_rows[(target.numel(),)](
            logits.detach(),
            logits.stride(0),
            target.contiguous(),
            loss,
            ce,
            sigma,
            logits.size(1),
            ignore_index,
            scale=loss if scale is None else scale,
            GRADIENT=gradient,
            SCALED=scale is not None,
            BLOCK=block,
            HARDWARE=hardware,
            num_warps=_warps(block),
            enable_fp_fusion=True,
            **constants,
        )
    if gradient:
        torch.autograd.graph.increment_version(logits)
    return loss, ce, sigma


def multiply_rows_kernel(rows: Tensor, factor: Tensor) -> None:
    """Multiply `rows` [N, V] in place by a 0-d fp32 `factor` that lives on the device; 1 costs nothing."""
    if rows.size(0) == 0:
        return
    block = min(MAX_BLOCK, triton.next_power_of_2(rows.size(1)))
    with _on(rows.device):
        multiply_rows[(rows.size(0),)](
            rows.detach(), rows.stride(0), factor, rows.size(1), BLOCK=block, num_warps=_warps(block)
        )
    torch.autograd.graph.increment_version(rows)


def launch_constants(mixture: Mixture, classes: int, hardware: str, dtype: torch.dtype) -> dict[str, Any]:
    """The numbers and branches of `dece_rows`, in double precision until they are passed."""
    if isinstance(mixture.alpha, Tensor):
        raise ValueError("the kernel takes one alpha for all rows; a tensor of them goes through loss.rows")
    alpha, smoothing, floor = mixture.alpha, mixture.label_smoothing, mixture.prob_floor
    q_target, q_rest = 1.0 - smoothing, smoothing / (classes - 1)
    linear, smoothed = alpha == 1.0 and floor == 0.0, smoothing > 0.0
    least = 1.0 if linear or not smoothed else alpha * floor + (1.0 - alpha) * q_rest
    ratio = alpha / least if smoothed else 1.0
    # more factors would take more than 64 registers on AMD
    most = 4 if hardware != "amd" else 1 if dtype == torch.float32 else 2
    return {
        "alpha": alpha,
        "floor": floor,
        "q_target": q_target,
        "q_rest": q_rest,
        "label_target": (1.0 - alpha) * q_target,
        "ratio": ratio,
        "inverse_ratio": 1.0 / ratio if ratio > 0.0 else 0.0,
        "label_rest": (1.0 - alpha) * q_rest / least,
        "log_least": math.log(least),
        "SMOOTHED": smoothed,
        "LINEAR": linear,
        "FLOORED": floor > 0.0,
        "PRODUCT": min(longest_product(ratio), most),
    }


def _on(device: torch.device) -> AbstractContextManager[Any]:
    """Triton launches on the current device, which need not be the one that holds the tensors."""
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()


def _hardware(device: torch.device) -> Literal["nvidia", "amd", "exact"]:
    if device.type != "cuda":
        return "exact"
    return "nvidia" if torch.version.hip is None else "amd"


def _warps(block: int) -> int:
    """256 classes per warp; a block of 8192 fills the largest work-group, 1024 threads on either vendor."""
    widest = 16 if torch.version.hip is not None else 32
    return max(1, min(widest, block // 256))
