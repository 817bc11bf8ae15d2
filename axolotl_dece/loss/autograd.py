"""A loss on rows of logits, differentiable and without touching them.

For DeCE, with p = softmax(z), q the smoothed label, m = alpha * max(p, floor) + (1 - alpha) * q:

    L       = -sum_j q_j log m_j
    sigma_j = alpha * p_j / m_j   (0 where p_j < floor): how likely the mixture drew j from the model
    G       = sum_j q_j sigma_j
    dL/dz_j = p_j * G - q_j * sigma_j

q has only two values, so it is never built. sigma of the target is the share of its gradient that DeCE lets
through; 1 - sigma is what it holds back. `overwrite` computes it. Shapes: N rows, V classes.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from axolotl_dece.loss.criterion import Criterion
from axolotl_dece.loss.torch_rows import overwrite_logits


class LossRows(torch.autograd.Function):
    """`apply(logits [N, V], target [N], criterion, ignore_index)` -> (loss, ce, sigma), each [N] in fp32 or fp64.

    Masked rows give zeros. Only `loss` is differentiable. The gradient is formed in backward from the logits, which
    are alive anyway, so nothing of their size is kept in between.
    """

    @staticmethod
    def forward(
        ctx: Any, logits: Tensor, target: Tensor, criterion: Criterion, ignore_index: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        loss, ce, sigma = overwrite_logits(logits, target, criterion, gradient=False, ignore_index=ignore_index)
        ctx.save_for_backward(logits, target)
        ctx.criterion, ctx.ignore_index = criterion, ignore_index
        ctx.mark_non_differentiable(ce, sigma)
        return loss, ce, sigma

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_loss: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        logits, target = ctx.saved_tensors
        gradient = logits.detach().clone()
        overwrite_logits(gradient, target, ctx.criterion, ignore_index=ctx.ignore_index)
        return gradient.mul_(grad_loss[:, None]), None, None, None
