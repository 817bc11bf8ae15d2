"""Who computes the loss: one Triton kernel on a GPU where it is proven to agree with torch, torch's operations else.

Triton is imported only when a tensor on a GPU asks for it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from axolotl_dece.loss.criterion import Criterion, Mixture
from axolotl_dece.loss.names import IGNORE_INDEX
from axolotl_dece.loss.torch_rows import RowStatistics, overwrite_logits


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
        from axolotl_dece.loss.triton_backend import OverLogits

        total, *statistics = OverLogits.apply(logits, target, criterion, ignore_index, factor)
        return total, RowStatistics(*statistics)
    from axolotl_dece.loss.autograd import LossRows

    statistics = LossRows.apply(logits, target, criterion, ignore_index)
    return statistics[0].sum() * scale, RowStatistics(statistics[0].detach(), *statistics[1:])


def kernel_takes(logits: Tensor, mixture: Mixture) -> bool:
    """Whether the Triton kernel does it: a GPU where it agrees with torch, one alpha for all rows, not fp64."""
    if not logits.is_cuda or logits.dtype == torch.float64 or logits.stride(-1) != 1:
        return False
    if isinstance(mixture.alpha, Tensor):
        return False
    from axolotl_dece.loss.triton_backend import kernel_agrees

    return kernel_agrees(logits.device, logits.dtype)
