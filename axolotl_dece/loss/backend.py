"""Who computes the loss: one Triton kernel on a GPU where it is proven to agree with torch, torch's operations else.

Triton is imported only when a tensor on a GPU asks for it.
"""

from __future__ import annotations

import math
from functools import lru_cache
from importlib.util import find_spec
from logging import getLogger
from subprocess import SubprocessError
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from axolotl_dece.loss.autograd import LossRows
from axolotl_dece.loss.criterion import Mixture
from axolotl_dece.loss.names import IGNORE_INDEX
from axolotl_dece.loss.rivals import Criterion
from axolotl_dece.loss.torch_rows import RowStatistics, overwrite_logits

LOG = getLogger("axolotl.dece")


def rows_over_logits(
    logits: Tensor, target: Tensor, criterion: Criterion, *, gradient: bool = True, ignore_index: int = IGNORE_INDEX
) -> RowStatistics:
    """Row statistics of `logits` [N, V], which are overwritten by the gradient of the sum of the losses.

    Args:
        logits: Floating point; fp64 is computed in fp64, everything else in fp32. Autograd is told that they
            changed, so it refuses to go backward through an operation that still needed them.
        target: Integers in [0, V) or `ignore_index`, [N].
        criterion: What is trained in this step: a mixture with its alpha, or a baseline.
        gradient: False leaves `logits` as they are.
        ignore_index: Rows with this target count for nothing; their gradient is zero whatever they hold.
    """
    if isinstance(criterion, Mixture) and kernel_takes(logits, criterion):
        from axolotl_dece.loss.triton_rows import dece_rows_kernel

        return RowStatistics(*dece_rows_kernel(logits, target, criterion, gradient=gradient, ignore_index=ignore_index))
    return overwrite_logits(logits.detach(), target, criterion, gradient=gradient, ignore_index=ignore_index)


def sum_over_logits(
    logits: Tensor, target: Tensor, criterion: Criterion, scale: float | Tensor, *, ignore_index: int = IGNORE_INDEX
) -> tuple[Tensor, RowStatistics]:
    """Sum of the losses times `scale`, differentiable, and the row statistics of `logits` [N, V].

    Where the kernel takes over, the gradient is written over the logits; elsewhere they stay as they are.
    """
    if isinstance(criterion, Mixture) and kernel_takes(logits, criterion):
        factor = torch.as_tensor(scale, dtype=torch.float32, device=logits.device)
        total, *statistics = _OverLogits.apply(logits, target, criterion, ignore_index, factor)
        return total, RowStatistics(*statistics)
    statistics = LossRows.apply(logits, target, criterion, ignore_index)
    return statistics[0].sum() * scale, RowStatistics(statistics[0].detach(), *statistics[1:])


class _OverLogits(torch.autograd.Function):
    """`apply(logits [N, V], target [N], mixture, ignore_index, scale)` -> (scaled sum, loss, ce, sigma).

    The sum is a scalar and the only differentiable output; the others are [N]. The gradient takes the place of the
    logits, so nothing of their size is allocated; whoever still needs them is found out by autograd.
    """

    @staticmethod
    def forward(
        ctx: Any, logits: Tensor, target: Tensor, mixture: Mixture, ignore_index: int, scale: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        from axolotl_dece.loss.triton_rows import dece_rows_kernel

        gradient = ctx.needs_input_grad[0]
        # in fp16 a gradient divided by the number of tokens would vanish before the loss scale arrives
        early = None if logits.dtype == torch.float16 else scale
        loss, ce, sigma = dece_rows_kernel(
            logits, target, mixture, gradient=gradient, scale=early, ignore_index=ignore_index
        )
        ctx.save_for_backward(logits.detach(), scale)
        ctx.mark_non_differentiable(loss, ce, sigma)
        return loss.sum() * scale, loss, ce, sigma

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_sum: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        from axolotl_dece.loss.triton_rows import multiply_rows_kernel

        gradient, scale = ctx.saved_tensors
        factor = grad_sum * scale if gradient.dtype == torch.float16 else grad_sum
        multiply_rows_kernel(gradient, factor)
        return gradient, None, None, None, None


def kernel_takes(logits: Tensor, mixture: Mixture) -> bool:
    """Whether the Triton kernel does it: a GPU where it agrees with torch, one alpha for all rows, not fp64."""
    return (
        logits.is_cuda
        and logits.dtype != torch.float64
        and logits.stride(-1) == 1
        and not isinstance(mixture.alpha, Tensor)
        and kernel_agrees(logits.device, logits.dtype)
    )


@lru_cache
def kernel_agrees(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether the kernel can be built for `device` and finds there what torch finds; decided once, said in the log."""
    if find_spec("triton") is None:
        LOG.warning("DeCE: Triton is not installed, so the loss is computed by torch's own operations, which is slower")
        return False
    from triton.errors import TritonError

    try:
        difference = _kernel_difference(device, dtype)
    except (TritonError, RuntimeError, OSError, SubprocessError) as error:
        LOG.warning("DeCE: Triton cannot build the kernel on %s (%s); torch's own operations are used", device, error)
        return False
    allowed = 1e-4 if dtype == torch.float32 else 1e-2
    if difference < allowed:
        return True
    LOG.warning(
        "DeCE: on %s the kernel differs from torch by %.1e, more than %.0e; torch's own operations are used. "
        "Please report this with the output of `axolotl dece bench`.",
        *(device, difference, allowed),
    )
    return False


def _kernel_difference(device: torch.device, dtype: torch.dtype) -> float:
    """Largest relative difference of loss and gradient between kernel and torch on a few rows of 32,003 classes."""
    from axolotl_dece.loss.triton_rows import dece_rows_kernel

    generator = torch.Generator().manual_seed(0)
    logits = (3.0 * torch.randn(4, 32003, generator=generator)).to(device, dtype)
    target = torch.tensor([5, 32002, -100, 0], device=device)
    logits[0, 5] += 25.0
    differences = []
    for mixture in (Mixture(0.9), Mixture(0.9, label_smoothing=0.0)):
        found, expected = logits.clone(), logits.clone()
        terms = dece_rows_kernel(found, target, mixture)
        wanted = overwrite_logits(expected, target, mixture)
        for mine, theirs in zip((found, *terms), (expected, *wanted), strict=True):
            mine, theirs = mine.float(), theirs.float()
            differences.append(((mine - theirs).norm() / theirs.norm()).item())
    # max() would pass over NaN
    return max(math.inf if math.isnan(d) else d for d in differences)
