"""DeCE of a linear layer's output without ever holding that output: logits exist one chunk of tokens at a time.

Gradients are formed in forward, chunk by chunk, while the chunk's logits are at hand; backward only multiplies them
by the scalar that arrives. Masked tokens are left out of every product. Shapes: N tokens, H features, V classes.
"""

from __future__ import annotations

import math
from typing import Any, Literal, Protocol

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from axolotl_dece.loss.backend import rows_over_logits
from axolotl_dece.loss.criterion import Mixture
from axolotl_dece.loss.names import IGNORE_INDEX
from axolotl_dece.loss.rivals import Criterion
from axolotl_dece.loss.torch_rows import RowStatistics

DEVICE_CHUNK_BYTES = 512 << 20
"""Logits alive at a time on a GPU: large chunks, because the weight's gradient is read and written once for each."""

CPU_CHUNK_BYTES = 64 << 20
"""On a CPU the traffic of the weight's gradient is small beside the products, so memory decides."""


def linear_dece_loss(
    hidden: Tensor,
    weight: Tensor,
    target: Tensor,
    bias: Tensor | None = None,
    *,
    alpha: float | Tensor,
    label_smoothing: float = 0.05,
    prob_floor: float = 1e-7,
    ignore_index: int = IGNORE_INDEX,
    reduction: Literal["sum", "mean"] = "mean",
    num_items: int | Tensor | None = None,
    chunk_bytes: int | None = None,
) -> Tensor:
    """`dece_loss(F.linear(hidden, weight, bias), target)` without the logits in memory.

    A weight or bias that needs no gradient (LoRA, QLoRA) costs neither time nor memory for one. The gradients are
    handed over once: a second backward through the same result is an error.

    >>> loss = linear_dece_loss(hidden, model.lm_head.weight, target, alpha=0.985)

    Args:
        hidden: Input of the layer, [..., H].
        weight: [V, H].
        target: Class of every position, integers in [0, V) or `ignore_index`, [...].
        bias: [V] or None.
        alpha: Weight of the model's own prediction, in [0, 1]; or a tensor of them, [...].
        label_smoothing: In [0, 1).
        prob_floor: In [0, 1); the reference code's clamp is 1e-7, 0 is none.
        ignore_index: Positions with this target count for nothing.
        reduction: `sum`, or `mean` over the positions that count.
        num_items: Divides the sum instead of the number of positions that count.
        chunk_bytes: Logits alive at a time; by default 64 MiB on a CPU and 512 MiB elsewhere.

    Returns:
        A scalar in fp32, or fp64 for fp64 inputs.

    Raises:
        ValueError: An argument is outside its range, or the shapes do not match.
    """
    _check_shapes(hidden, weight, target, bias)
    if reduction not in ("sum", "mean"):
        raise ValueError(
            f"reduction must be sum or mean, got {reduction!r}; a loss per token needs its logits: use dece_loss"
        )
    flat_alpha = alpha.reshape(-1) if isinstance(alpha, Tensor) and alpha.dim() else alpha
    mixture = Mixture(flat_alpha, label_smoothing, prob_floor)
    flat_target = target.reshape(-1)
    if num_items is None:
        num_items = (flat_target != ignore_index).sum().clamp(min=1) if reduction == "mean" else 1
    hidden, weight, bias = autocast_together(hidden, weight, bias)
    rows = hidden.reshape(-1, hidden.size(-1))
    total, _, _, _ = _LinearDece.apply(rows, weight, bias, flat_target, mixture, ignore_index, chunk_bytes, num_items)
    return total


class Projection(Protocol):
    """What turns a chunk of hidden states into logits, and the logits' gradient into everybody else's."""

    classes: int

    def logits(self, rows: Tensor) -> Tensor:
        """Logits [C, V] of `rows` [C, H]; the next call may overwrite them."""

    def backward(self, rows: Tensor, gradient: Tensor) -> Tensor | None:
        """Add this chunk to the parameters' gradients and return that of `rows`, where it is wanted."""

    def take_gradients(self) -> tuple[Tensor | None, ...]:
        """The parameters' gradients, which the caller owns from now on."""


class LinearProjection:
    """`scale * F.linear(rows, weight, bias)`, every chunk in the same buffer.

    Args:
        weight: [V, H].
        bias: [V] or None.
        scale: What the model multiplies its logits by.
        wanted: Whether hidden, weight and bias need gradients.
    """

    def __init__(
        self, weight: Tensor, bias: Tensor | None, wanted: tuple[bool, bool, bool], scale: float = 1.0
    ) -> None:
        self.classes = weight.size(0)
        self._weight, self._bias, self._scale = weight.detach(), bias, scale
        self._wants_hidden = wanted[0]
        self._grad_weight = torch.zeros_like(self._weight) if wanted[1] else None
        self._grad_bias = None
        if bias is not None and wanted[2]:
            self._grad_bias = torch.zeros_like(bias, dtype=torch.promote_types(bias.dtype, torch.float32))
        self._buffer: Tensor | None = None

    def logits(self, rows: Tensor) -> Tensor:
        if self._buffer is None or self._buffer.size(0) < rows.size(0):
            self._buffer = rows.new_empty(rows.size(0), self.classes)
        out = self._buffer[: rows.size(0)]
        rows = self._scaled(rows)
        if self._bias is None:
            return torch.mm(rows, self._weight.t(), out=out)
        return torch.addmm(self._scaled(self._bias), rows, self._weight.t(), out=out)

    def backward(self, rows: Tensor, gradient: Tensor) -> Tensor | None:
        if self._grad_weight is not None:
            self._grad_weight.addmm_(gradient.t(), self._scaled(rows))
        if self._grad_bias is not None:
            self._grad_bias.add_(gradient.sum(dim=0, dtype=self._grad_bias.dtype), alpha=self._scale)
        return self._scaled(torch.mm(gradient, self._weight)) if self._wants_hidden else None

    def take_gradients(self) -> tuple[Tensor | None, ...]:
        grad_bias = None
        if self._grad_bias is not None and self._bias is not None:
            grad_bias = self._grad_bias.to(self._bias.dtype)
        gradients = (self._grad_weight, grad_bias)
        self._buffer = self._grad_weight = self._grad_bias = None
        return gradients

    def _scaled(self, x: Tensor) -> Tensor:
        return x if self._scale == 1.0 else x * self._scale


def fused_rows(
    hidden: Tensor,
    target: Tensor,
    projection: Projection,
    criterion: Criterion,
    *,
    wants_gradients: bool,
    ignore_index: int = IGNORE_INDEX,
    chunk_bytes: int | None = None,
) -> tuple[RowStatistics, Tensor | None]:
    """Statistics of every row, each [N], and the gradient of the sum of losses with respect to `hidden` [N, H].

    Reads from the device how many tokens count, once: what is left out cannot be decided there.
    """
    valid = target_positions(target, ignore_index)
    every = valid.numel() == target.numel()
    dtype = torch.float64 if hidden.dtype == torch.float64 else torch.float32
    statistics = torch.zeros(3, target.numel(), dtype=dtype, device=hidden.device)
    grad_hidden: Tensor | None = None
    size = _tokens_per_chunk(valid.numel(), projection.classes, hidden, chunk_bytes)
    for start in range(0, valid.numel(), size):
        rows: slice | Tensor = slice(start, start + size) if every else valid[start : start + size]
        chunk = hidden[rows]
        part = criterion.of_rows(rows)
        logits = projection.logits(chunk)
        terms = rows_over_logits(
            logits.detach(), target[rows], part, gradient=wants_gradients, ignore_index=ignore_index
        )
        statistics[:, rows] = torch.stack(terms)
        grad_chunk = projection.backward(chunk, logits) if wants_gradients else None
        if grad_chunk is not None:
            if grad_hidden is None:
                grad_hidden = torch.zeros_like(hidden)
            grad_hidden[rows] = grad_chunk
    return RowStatistics(*statistics.unbind()), grad_hidden


def target_positions(target: Tensor, ignore_index: int) -> Tensor:
    """Where `target` [N] is not masked, in order: [up to N]."""
    return (target != ignore_index).nonzero().squeeze(1)


def hand_over(ctx: Any, factor: Tensor) -> list[Tensor | None]:
    """The gradients kept on `ctx`, multiplied in place by a 0-d `factor`. The caller is then their only owner, so
    that autograd takes them as they are instead of copying them (1 GiB for the head of a 7B model).
    """
    gradients: list[Tensor | None] | None = ctx.gradients
    ctx.gradients = None
    if gradients is None:
        raise RuntimeError("the fused loss hands its gradients over once; run forward again for a second backward")
    for gradient in gradients:
        if gradient is not None:
            gradient.mul_(factor)
    return gradients


class _LinearDece(torch.autograd.Function):
    """`apply(hidden, weight, bias, target [N], mixture, ignore_index, chunk_bytes, num_items)` -> (sum, *rows)."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        target: Tensor,
        mixture: Mixture,
        ignore_index: int,
        chunk_bytes: int | None,
        num_items: int | Tensor,
    ) -> tuple[Tensor, ...]:
        wanted = ctx.needs_input_grad[:3]
        projection = LinearProjection(weight, bias, wanted)
        statistics, grad_hidden = fused_rows(
            hidden,
            target,
            projection,
            mixture,
            wants_gradients=any(wanted),
            ignore_index=ignore_index,
            chunk_bytes=chunk_bytes,
        )
        if wanted[0] and grad_hidden is None:
            grad_hidden = torch.zeros_like(hidden)
        ctx.gradients = [grad_hidden, *projection.take_gradients()]
        ctx.num_items = num_items
        ctx.mark_non_differentiable(*statistics)
        return statistics.loss.sum() / num_items, *statistics

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_total: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        return *hand_over(ctx, grad_total / ctx.num_items), None, None, None, None, None


def autocast_together(*tensors: Tensor | None) -> tuple[Any, ...]:
    """What autocast would do to the arguments of a linear layer: all in its dtype, or as they are without it."""
    device = next(t.device.type for t in tensors if t is not None)
    if not torch.is_autocast_enabled(device):
        return tensors
    dtype = torch.get_autocast_dtype(device)
    return tuple(t if t is None or t.dtype == torch.float64 else t.to(dtype) for t in tensors)


def _tokens_per_chunk(tokens: int, classes: int, hidden: Tensor, chunk_bytes: int | None) -> int:
    """Chunks of equal size within the budget, in multiples of 64 tokens (whole tiles of a matrix product)."""
    if chunk_bytes is None:
        chunk_bytes = CPU_CHUNK_BYTES if hidden.device.type == "cpu" else DEVICE_CHUNK_BYTES
    most = max(1, chunk_bytes // (classes * hidden.dtype.itemsize))
    size = math.ceil(tokens / max(1, math.ceil(tokens / most)))
    return max(1, min(most, math.ceil(size / 64) * 64))


def _check_shapes(hidden: Tensor, weight: Tensor, target: Tensor, bias: Tensor | None) -> None:
    wrong_bias = bias is not None and bias.shape != weight.shape[:1]
    if hidden.shape[:-1] != target.shape or weight.dim() != 2 or hidden.size(-1) != weight.size(-1) or wrong_bias:
        raise ValueError(
            "hidden must be [..., H], weight [V, H], target [...] and bias [V], got "
            f"{tuple(hidden.shape)}, {tuple(weight.shape)}, {tuple(target.shape)} and "
            f"{None if bias is None else tuple(bias.shape)}"
        )
    if weight.size(0) < 2:
        raise ValueError(f"weight must have at least 2 classes, got {weight.size(0)}")
