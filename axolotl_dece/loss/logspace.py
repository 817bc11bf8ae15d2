"""The same mathematics between logarithms: for smoothed labels without a floor where m itself could underflow to 0.

Shapes: R rows of a block, V classes.
"""

from __future__ import annotations

import torch
from torch import Tensor

from axolotl_dece.loss.criterion import Mixture


def block_in_logarithms(
    logits: Tensor, target: Tensor, mixture: Mixture, gradient: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """(loss [R], cross-entropy [R], sigma of the target [R], gradient [R, V] or None) for any alpha in [0, 1].

    Args:
        logits: fp32 or fp64, [R, V]; left as they are.
        target: A class for every row, [R].
        mixture: With prob_floor 0.
        gradient: Whether it is asked for.
    """
    column = target[:, None]
    q_target, q_rest = 1.0 - mixture.label_smoothing, mixture.label_smoothing / (logits.size(1) - 1)
    alpha = torch.as_tensor(mixture.alpha, dtype=torch.float64, device=logits.device).reshape(-1, 1)
    log_p = torch.log_softmax(logits, dim=1)
    log_p_target = log_p.gather(1, column)
    log_m_target, sigma_target = _blend(log_p_target, alpha, q_target)
    log_m, sigma = _blend(log_p, alpha, q_rest)
    rest = sigma.scatter_(1, column, 0.0).mul_(q_rest)
    log_m_rest = log_m.scatter_(1, column, 0.0).sum(dim=1, keepdim=True)
    loss = -q_target * log_m_target - q_rest * log_m_rest
    terms = (loss.squeeze(1), -log_p_target.squeeze(1), sigma_target.squeeze(1))
    if not gradient:
        return *terms, None
    # sum() is pairwise; a dot product over 150k classes would lose three digits
    total = q_target * sigma_target + rest.sum(dim=1, keepdim=True)
    slope = log_p.exp_().mul_(total).sub_(rest).scatter_(1, column, 0.0)
    # a row sums to zero; where p_y is close to 1, p_y * G - q_y * sigma_y would cancel to a few digits
    return *terms, slope.scatter_(1, column, -slope.sum(dim=1, keepdim=True))


def _blend(log_p: Tensor, alpha: Tensor, q: float) -> tuple[Tensor, Tensor]:
    """log m and sigma where the label has mass `q`; both new tensors of the shape of `log_p`."""
    log_model = log_p + alpha.log().to(log_p.dtype)
    log_m = torch.logaddexp(log_model, ((1.0 - alpha) * q).log().to(log_p.dtype))
    return log_m, log_model.sub_(log_m).exp_()
