"""A loss over a buffer of logits: row terms and gradient in one go, the gradient written where the logits were.

For DeCE it is the mathematics of `autograd`, arranged for speed: one exponential per logit, logarithms of products
instead of sums of logarithms, blocks that stay in the cache. Shapes: N rows, V classes, R rows of a block; columns of
coefficients are [R, 1].
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from axolotl_dece.loss.criterion import Criterion, Mixture
from axolotl_dece.loss.names import IGNORE_INDEX

CPU_BLOCK_BYTES = 2 << 20
"""One scratch buffer on a CPU; about four are alive, and they should stay in the second-level cache."""

DEVICE_BLOCK_BYTES = 64 << 20
"""One scratch buffer on any other device, where many small operations would cost more than a large buffer."""


class RowStatistics(NamedTuple):
    """What is known of every row afterwards, each [N] in fp32 or fp64, zero where the target is masked.

    Attributes:
        loss: What is trained.
        ce: Plain cross-entropy.
        sigma: Share of the target's gradient that is let through, in [0, 1].
    """

    loss: Tensor
    ce: Tensor
    sigma: Tensor


@torch.no_grad()
def overwrite_logits(
    logits: Tensor, target: Tensor, criterion: Criterion, *, gradient: bool = True, ignore_index: int = IGNORE_INDEX
) -> RowStatistics:
    """`backend.rows_over_logits` by torch's own operations, on any device."""
    dtype = torch.float64 if logits.dtype == torch.float64 else torch.float32
    statistics = RowStatistics(*logits.new_zeros((3, target.numel()), dtype=dtype).unbind())
    masked = target == ignore_index
    target = target.masked_fill(masked, 0)
    budget = CPU_BLOCK_BYTES if logits.device.type == "cpu" else DEVICE_BLOCK_BYTES
    size = max(1, budget // (logits.size(1) * dtype.itemsize))
    for start in range(0, logits.size(0), size):
        rows = slice(start, start + size)
        block, slope = _block(logits[rows].to(dtype), target[rows], criterion.of_rows(rows), gradient)
        for whole, piece in zip(statistics, block, strict=True):
            # a masked row may hold anything, even NaN: fill, do not multiply by zero
            whole[rows] = piece.masked_fill_(masked[rows], 0.0)
        if slope is not None:
            logits[rows] = slope
    if gradient:
        logits.masked_fill_(masked[:, None], 0.0)
    return statistics


def _block(logits: Tensor, target: Tensor, criterion: Criterion, gradient: bool) -> tuple[RowStatistics, Tensor | None]:
    """Statistics and gradient of R rows in the dtype of the arithmetic; with `gradient`, `logits` is scratch."""
    slope: Tensor | None
    if not isinstance(criterion, Mixture):
        *terms, slope = criterion.block(logits, target)
        return RowStatistics(*terms), slope if gradient else None
    if _needs_logarithms(criterion):
        from axolotl_dece.loss.logspace import block_in_logarithms

        *terms, slope = block_in_logarithms(logits, target, criterion, gradient)
        return RowStatistics(*terms), slope
    column = target[:, None]
    p, log_p_target, others = _softmax_without_target(logits, column)
    weights = _Coefficients.of(criterion, logits)
    log_m, sigma = weights.target(log_p_target)
    loss, total = -weights.q_target * log_m, weights.q_target * sigma
    total_rest = torch.zeros_like(total)
    pull = None
    if weights.q_rest > 0.0:
        log_m_rest, pull = weights.rest(p, scratch=logits if gradient else None)
        total_rest = pull.sum(dim=1, keepdim=True)
        loss, total = loss - weights.q_rest * log_m_rest, total + total_rest
    statistics = RowStatistics(loss.squeeze(1), -log_p_target.squeeze(1), sigma.squeeze(1))
    if not gradient:
        return statistics, None
    p.mul_(total)
    if pull is not None:
        p.sub_(pull)
    # p_y * G - q_y * sigma_y without the cancellation of a confident row
    return statistics, p.scatter_(1, column, total_rest - others * total)


def _softmax_without_target(logits: Tensor, column: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """softmax with a zero in the target's place [R, V], the target's log-probability and 1 - probability [R, 1]."""
    p = torch.softmax(logits, dim=1)
    log_largest = p.amax(dim=1, keepdim=True).log_() - logits.amax(dim=1, keepdim=True)
    p_target = p.gather(1, column)
    others = p.scatter_(1, column, 0.0).sum(dim=1, keepdim=True)
    # torch's CPU softmax sums to one only up to 1e-5 at 150k classes
    norm = others + p_target
    p.div_(norm)
    others = others / norm
    log_p_target = torch.where(others < 0.5, torch.log1p(-others), logits.gather(1, column) + log_largest - norm.log())
    return p, log_p_target, others


@dataclass(frozen=True)
class _Coefficients:
    """A mixture at one vocabulary size. alpha is [R, 1], or 0-d on the CPU, which no device has to wait for."""

    alpha: Tensor
    q_target: float
    q_rest: float
    floor: float
    product: int

    @classmethod
    def of(cls, mixture: Mixture, logits: Tensor) -> _Coefficients:
        q_rest = mixture.label_smoothing / (logits.size(1) - 1)
        alpha, floor = mixture.alpha, mixture.prob_floor
        if isinstance(alpha, Tensor):
            # no token has a larger ratio of p to the least m than one with alpha = 1
            column, largest = alpha.double().reshape(-1, 1), 1.0
        else:
            column, largest = torch.tensor(alpha, dtype=torch.float64), alpha
        least = largest * floor + (1.0 - largest) * q_rest
        product = longest_product(largest / least) if least > 0.0 else 1
        return cls(column, 1.0 - mixture.label_smoothing, q_rest, floor, product)

    def target(self, log_p: Tensor) -> tuple[Tensor, Tensor]:
        """log m and sigma of the target, from its log-probability; all [R, 1]."""
        floored = log_p.clamp(min=math.log(self.floor)) if self.floor > 0.0 else log_p
        log_alpha, log_label = self.alpha.log(), ((1.0 - self.alpha) * self.q_target).log()
        log_m = torch.logaddexp(floored + log_alpha, log_label).to(log_p.dtype)
        sigma = (log_p + log_alpha - log_m).exp().to(log_p.dtype)
        return log_m, sigma.masked_fill_(log_p < floored, 0.0)

    def rest(self, p: Tensor, scratch: Tensor | None) -> tuple[Tensor, Tensor]:
        """Sum of log m [R, 1] and q * sigma [R, V] over the other classes; `p` is zero at the target."""
        least = self.alpha * self.floor + (1.0 - self.alpha) * self.q_rest
        slope, offset = (self.alpha / least).to(p.dtype), ((1.0 - self.alpha) * self.q_rest / least).to(p.dtype)
        # m in units of its least value: the target's place holds 1, whose logarithm adds nothing
        m = torch.clamp(p, min=self.floor, out=scratch).mul_(slope).add_(offset)
        log_m = _sum_of_logs(m, self.product) + (p.size(1) - 1) * least.log()
        pull = F.threshold(p, self.floor, 0.0) if self.floor > 0.0 else p.clone()
        return log_m.to(p.dtype), pull.div_(m).mul_(slope * self.q_rest)


def _sum_of_logs(x: Tensor, product: int) -> Tensor:
    """Sum of log(x) over the columns of `x` [R, V] by logarithms of products of `product` columns: [R, 1]."""
    width = x.size(1) // product
    factors = x[:, :width]
    for k in range(1, product):
        factors = factors * x[:, k * width : (k + 1) * width]
    left_over = x[:, product * width :]
    return factors.log().sum(dim=1, keepdim=True) + left_over.log().sum(dim=1, keepdim=True)


def longest_product(largest: float) -> int:
    """How many factors 1 + t_i with sum(t_i) <= `largest` can be multiplied in fp32 without overflow: 1, 2 or 4."""
    for count in (4, 2):
        if count * math.log10(2.0 + largest / count) < 37.5:
            return count
    return 1


def _needs_logarithms(mixture: Mixture) -> bool:
    """Whether m can be zero where p underflows: smoothed labels, no floor, and an alpha of (perhaps) one."""
    whole = isinstance(mixture.alpha, Tensor) or mixture.alpha == 1.0
    return mixture.prob_floor == 0.0 and mixture.label_smoothing > 0.0 and whole
