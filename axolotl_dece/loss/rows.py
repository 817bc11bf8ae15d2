"""DeCE on rows of logits: exact, in closed form, with scratch that does not grow with the batch.

With p = softmax(z), q the smoothed label, m = alpha * max(p, floor) + (1 - alpha) * q:

    L       = -sum_j q_j log m_j
    sigma_j = alpha * p_j / m_j   (0 where p_j < floor): how likely the mixture drew j from the model
    G       = sum_j q_j sigma_j
    dL/dz_j = p_j * G - q_j * sigma_j

q has only two values, so it is never built. sigma of the target is the share of its gradient that DeCE lets
through; 1 - sigma is what it holds back. Shapes: N rows, V classes, C rows of a chunk.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from axolotl_dece.loss.mixture import Mixture

CHUNK_BYTES = 64 << 20
"""Size of one scratch buffer; at most five are alive at a time."""


@dataclass(frozen=True)
class RowTerms:
    """What one pass over rows of logits finds out about each of them; every field has shape [N].

    Attributes:
        loss: DeCE.
        ce: Plain cross-entropy of the same row.
        sigma: Share of the target's gradient that is let through, in [0, 1].
        lse: log-sum-exp of the row.
        total: G above.
    """

    loss: Tensor
    ce: Tensor
    sigma: Tensor
    lse: Tensor
    total: Tensor


def row_terms(logits: Tensor, target: Tensor, mixture: Mixture) -> RowTerms:
    """Terms of `logits` [C, V] in fp32 or fp64 for `target` [C], every entry a class."""
    lse = torch.logsumexp(logits, dim=1, keepdim=True)
    log_p_target = logits.gather(1, target[:, None]) - lse
    weights = _Weights(mixture, logits)
    log_m_target, sigma_target = weights.blend(log_p_target, weights.q_target)
    loss = -weights.q_target * log_m_target
    total = weights.q_target * sigma_target
    if weights.q_rest > 0.0:
        log_m, sigma = weights.blend(logits - lse, weights.q_rest)
        log_m_rest = log_m.scatter_(1, target[:, None], 0.0).sum(dim=1, keepdim=True)
        # sum() is pairwise; a dot product over 150k classes would lose three digits
        sigma_rest = sigma.scatter_(1, target[:, None], 0.0).sum(dim=1, keepdim=True)
        loss = loss - weights.q_rest * log_m_rest
        total = total + weights.q_rest * sigma_rest
    return RowTerms(*(t.squeeze(1) for t in (loss, -log_p_target, sigma_target, lse, total)))


def row_gradient(logits: Tensor, target: Tensor, lse: Tensor, total: Tensor, mixture: Mixture) -> Tensor:
    """Gradient of the loss with respect to `logits` [C, V], from the row terms [C]: a new tensor like `logits`."""
    weights = _Weights(mixture, logits)
    log_p = logits - lse[:, None]
    if weights.q_rest > 0.0:
        _, sigma_rest = weights.blend(log_p, weights.q_rest)
        gradient = log_p.exp_().mul_(total[:, None]).sub_(sigma_rest.mul_(weights.q_rest))
    else:
        gradient = log_p.exp_().mul_(total[:, None])
    # A row sums to zero. Where p_y is close to 1, p_y * G - q_y * sigma_y would cancel to a few digits in fp32.
    gradient.scatter_(1, target[:, None], 0.0)
    return gradient.scatter_(1, target[:, None], -gradient.sum(dim=1, keepdim=True))


class _Weights:
    """A mixture at one vocabulary size; `blend` is the only place where p and q meet."""

    def __init__(self, mixture: Mixture, logits: Tensor) -> None:
        self.q_target = 1.0 - mixture.label_smoothing
        self.q_rest = mixture.label_smoothing / (logits.size(1) - 1) if mixture.label_smoothing else 0.0
        self.floor = mixture.prob_floor
        alpha = mixture.alpha
        self.alpha = alpha[:, None].to(logits.dtype) if isinstance(alpha, Tensor) else alpha

    def blend(self, log_p: Tensor, q: float) -> tuple[Tensor, Tensor]:
        """log m and sigma where the label has mass `q`; both new tensors of the shape of `log_p`."""
        return self._blend_floored(log_p, q) if self.floor > 0.0 else self._blend_logs(log_p, q)

    def _blend_floored(self, log_p: Tensor, q: float) -> tuple[Tensor, Tensor]:
        p = log_p.exp()
        dead = p < self.floor
        m = p.clamp(min=self.floor).mul_(self.alpha).add_((1.0 - self.alpha) * q)
        sigma = p.mul_(self.alpha).div_(m).masked_fill_(dead, 0.0)
        return m.log_(), sigma

    def _blend_logs(self, log_p: Tensor, q: float) -> tuple[Tensor, Tensor]:
        """Without a floor p may underflow, so the sum is taken between logarithms."""
        log_model = log_p + _log(self.alpha)
        log_label = _log((1.0 - self.alpha) * q)
        log_m = torch.logaddexp(log_model, torch.as_tensor(log_label, dtype=log_p.dtype, device=log_p.device))
        return log_m, log_model.sub_(log_m).exp_()


def _log(x: float | Tensor) -> float | Tensor:
    if isinstance(x, Tensor):
        return x.log()
    return math.log(x) if x > 0.0 else -math.inf


class DeceRows(torch.autograd.Function):
    """`apply(logits [N, V], target [N], mixture, ignore_index)` -> (loss, ce, sigma), each [N] in fp32 or fp64.

    Masked rows give zeros. Only `loss` is differentiable. The gradient is formed in backward from the logits, which
    are alive anyway, so nothing of their size is kept in between.
    """

    @staticmethod
    def forward(
        ctx: Any, logits: Tensor, target: Tensor, mixture: Mixture, ignore_index: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        masked = target == ignore_index
        target = target.masked_fill(masked, 0)
        loss, ce, sigma, lse, total = (
            torch.empty(target.shape, dtype=_compute_dtype(logits), device=logits.device) for _ in range(5)
        )
        for rows, chunk, part in _chunks(logits, mixture):
            terms = row_terms(chunk, target[rows], part)
            loss[rows], ce[rows], sigma[rows] = terms.loss, terms.ce, terms.sigma
            lse[rows], total[rows] = terms.lse, terms.total
        ctx.save_for_backward(logits, target, masked, lse, total)
        ctx.mixture = mixture
        loss, ce, sigma = (term.masked_fill_(masked, 0.0) for term in (loss, ce, sigma))
        ctx.mark_non_differentiable(ce, sigma)
        return loss, ce, sigma

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_loss: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        logits, target, masked, lse, total = ctx.saved_tensors
        gradient = torch.empty_like(logits)
        for rows, chunk, part in _chunks(logits, ctx.mixture):
            piece = row_gradient(chunk, target[rows], lse[rows], total[rows], part)
            # a masked row may hold anything, even NaN: fill, do not multiply by zero
            gradient[rows] = piece.mul_(grad_loss[rows, None]).masked_fill_(masked[rows, None], 0.0)
        return gradient, None, None, None


def _compute_dtype(logits: Tensor) -> torch.dtype:
    return torch.float64 if logits.dtype == torch.float64 else torch.float32


def _chunks(logits: Tensor, mixture: Mixture) -> Iterator[tuple[slice, Tensor, Mixture]]:
    """Row slices of `logits` [N, V], in the dtype of the arithmetic, each with the mixture of its rows."""
    dtype = _compute_dtype(logits)
    size = max(1, CHUNK_BYTES // (logits.size(1) * dtype.itemsize))
    for start in range(0, logits.size(0), size):
        rows = slice(start, start + size)
        alpha = mixture.alpha
        part = replace(mixture, alpha=alpha[rows]) if isinstance(alpha, Tensor) else mixture
        yield rows, logits[rows].to(dtype), part
