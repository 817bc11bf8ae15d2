"""The formula of DeCE, written to be read: the oracle of the tests and of the benchmark, never used in training.

Yang et al., "DeCE: Deceptive Cross-Entropy Loss Designed for Defending Backdoor Attacks", arXiv 2407.08956,
section 4; smoothing as in the authors' code (eps / (V - 1) on the wrong classes, defense_loss.py at
https://github.com/NTDXYG/DeCE/tree/28c98d8).
"""

from __future__ import annotations

import torch
from torch import Tensor


def dece_rows_reference(
    logits: Tensor,
    target: Tensor,
    *,
    alpha: float,
    label_smoothing: float = 0.05,
    prob_floor: float = 1e-7,
) -> Tensor:
    """Loss of every row of `logits` [N, V] for `target` [N] (no masked rows), with dense targets: [N]."""
    vocab = logits.size(-1)
    q = torch.full_like(logits, label_smoothing / (vocab - 1))
    q.scatter_(1, target[:, None], 1.0 - label_smoothing)
    p = torch.softmax(logits, dim=-1).clamp(min=prob_floor)
    m = alpha * p + (1.0 - alpha) * q
    # 0 * log(0) is 0 here, and so is its gradient
    return -(q * torch.where(q > 0, m, 1.0).log()).sum(dim=-1)
