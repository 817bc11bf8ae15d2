"""Rows of logits that exist one chunk at a time, between a projection and the loss.

Gradients are formed in forward, chunk by chunk, while the chunk's logits are at hand; backward only multiplies them
by the scalar that arrives. Masked tokens are left out of every product. Shapes: N tokens, C of a chunk, H features,
V classes.
"""

from __future__ import annotations

import math
from typing import Any, Protocol

import torch
from torch import Tensor

from axolotl_dece.loss.backend import rows_over_logits
from axolotl_dece.loss.criterion import Criterion
from axolotl_dece.loss.names import IGNORE_INDEX
from axolotl_dece.loss.torch_rows import RowStatistics

DEVICE_CHUNK_BYTES = 512 << 20
"""Logits alive at a time on a GPU: large chunks, because the weight's gradient is read and written once for each."""

CPU_CHUNK_BYTES = 64 << 20
"""On a CPU the traffic of the weight's gradient is small beside the products, so memory decides."""


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

    def __init__(self, weight: Tensor, bias: Tensor | None, wanted: tuple[bool, ...], scale: float = 1.0) -> None:
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
    wanted: tuple[bool, ...],
    ignore_index: int = IGNORE_INDEX,
    chunk_bytes: int | None = None,
) -> tuple[RowStatistics, Tensor | None]:
    """Statistics of every row, each [N], and the gradient of the sum of losses with respect to `hidden` [N, H].

    `wanted` says whether `hidden` and each parameter of the projection need gradients. Reads from the device how many
    tokens count, once: what is left out cannot be decided there.
    """
    valid = target_positions(target, ignore_index)
    every = valid.numel() == target.numel()
    dtype = torch.float64 if hidden.dtype == torch.float64 else torch.float32
    statistics = torch.zeros(3, target.numel(), dtype=dtype, device=hidden.device)
    grad_hidden = torch.zeros_like(hidden) if wanted[0] else None
    size = _tokens_per_chunk(valid.numel(), projection.classes, hidden, chunk_bytes)
    for start in range(0, valid.numel(), size):
        rows: slice | Tensor = slice(start, start + size) if every else valid[start : start + size]
        chunk = hidden[rows]
        part = criterion.of_rows(rows)
        logits = projection.logits(chunk)
        terms = rows_over_logits(logits.detach(), target[rows], part, gradient=any(wanted), ignore_index=ignore_index)
        statistics[:, rows] = torch.stack(terms)
        grad_chunk = projection.backward(chunk, logits) if any(wanted) else None
        if grad_hidden is not None and grad_chunk is not None:
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
