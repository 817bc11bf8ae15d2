"""DeCE of a linear layer's output without ever holding that output. N tokens, H features, V classes."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from axolotl_dece.loss.criterion import Mixture
from axolotl_dece.loss.names import IGNORE_INDEX
from axolotl_dece.loss.projection import LinearProjection, autocast_together, fused_rows, hand_over


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
            wanted=wanted,
            ignore_index=ignore_index,
            chunk_bytes=chunk_bytes,
        )
        ctx.gradients = [grad_hidden, *projection.take_gradients()]
        ctx.num_items = num_items
        ctx.mark_non_differentiable(*statistics)
        return statistics.loss.sum() / num_items, *statistics

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_total: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        return *hand_over(ctx, grad_total / ctx.num_items), None, None, None, None, None


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
