"""`dece_loss`, with the signature of torch's own cross-entropy."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from axolotl_dece.loss.autograd import LossRows
from axolotl_dece.loss.criterion import Mixture
from axolotl_dece.loss.names import IGNORE_INDEX


def dece_loss(
    logits: Tensor,
    target: Tensor,
    *,
    alpha: float | Tensor,
    label_smoothing: float = 0.05,
    prob_floor: float = 1e-7,
    ignore_index: int = IGNORE_INDEX,
    reduction: Literal["none", "sum", "mean"] = "mean",
    num_items: int | Tensor | None = None,
) -> Tensor:
    """Deceptive cross-entropy: -sum_i q_i log(alpha * max(p_i, prob_floor) + (1 - alpha) * q_i).

    p is the softmax of `logits`; q is 1 - label_smoothing on the target and label_smoothing / (V - 1) elsewhere.
    Arithmetic is fp32 whatever the dtype of `logits` (fp64 for fp64), and the gradient has their dtype.

    >>> loss = dece_loss(torch.randn(2, 7, 100), torch.randint(100, (2, 7)), alpha=0.985)

    Args:
        logits: Unnormalised scores, [..., V] with V >= 2.
        target: Class of every position, integers in [0, V) or `ignore_index`, [...].
        alpha: Weight of the model's own prediction, in [0, 1]; or a tensor of them, [...].
        label_smoothing: In [0, 1). Not torch's convention: torch spreads eps over all V classes.
        prob_floor: In [0, 1); the reference code's clamp is 1e-7, 0 is none.
        ignore_index: Positions with this target count for nothing.
        reduction: `none` returns [...] with zeros where ignored; `sum`; `mean` over the positions that count.
        num_items: Divides the sum instead of the number of positions that count: the number of target tokens of
            the whole optimiser step, for gradient accumulation. Not with `none`.

    Returns:
        A scalar, or [...] for `none`; fp32, or fp64 for fp64 logits. With every position ignored it is a zero that
        still reaches the logits, so that no rank of a distributed run waits for a gradient that never comes.

    Raises:
        ValueError: An argument is outside its range, or the shapes do not match.

    Source: arXiv 2407.08956, section 4; docs/differences.md for what differs from the authors' code.
    """
    if logits.shape[:-1] != target.shape or logits.size(-1) < 2:
        raise ValueError(
            f"logits must be [..., V] and target [...] with V >= 2, got {tuple(logits.shape)} and {tuple(target.shape)}"
        )
    if reduction not in ("none", "sum", "mean"):
        raise ValueError(f"reduction must be none, sum or mean, got {reduction!r}")
    if num_items is not None and reduction == "none":
        raise ValueError("num_items divides a sum; it has no meaning with reduction='none'")
    flat_alpha = alpha.expand(target.shape).reshape(-1) if isinstance(alpha, Tensor) else alpha
    mixture = Mixture(flat_alpha, label_smoothing, prob_floor)
    flat_target = target.reshape(-1)
    loss, _, _ = LossRows.apply(logits.reshape(-1, logits.size(-1)), flat_target, mixture, ignore_index)
    if reduction == "none":
        return loss.view(target.shape)
    if num_items is not None:
        return loss.sum() / num_items
    if reduction == "sum":
        return loss.sum()
    return loss.sum() / (flat_target != ignore_index).sum().clamp(min=1)
