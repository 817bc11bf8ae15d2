"""The Triton kernel in autograd, and the question whether it may be used on a device; imported where there is a GPU."""

from __future__ import annotations

import math
from functools import lru_cache
from importlib.util import find_spec
from logging import getLogger
from subprocess import SubprocessError
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from axolotl_dece.loss.criterion import Mixture
from axolotl_dece.loss.torch_rows import overwrite_logits

LOG = getLogger("axolotl.dece")


class OverLogits(torch.autograd.Function):
    """`apply(logits [N, V], target [N], mixture, ignore_index, scale)` -> (scaled sum, loss, ce, sigma).

    The sum is a scalar and the only differentiable output; the others are [N]. The gradient takes the place of the
    logits, so nothing of their size is allocated; whoever still needs them is found out by autograd.
    """

    @staticmethod
    def forward(
        ctx: Any, logits: Tensor, target: Tensor, mixture: Mixture, ignore_index: int, scale: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        from axolotl_dece.loss.triton_rows import dece_rows_kernel

        gradient = ctx.needs_input_grad[0]
        # in fp16 a gradient divided by the number of tokens would vanish before the loss scale arrives
        early = None if logits.dtype == torch.float16 else scale
        loss, ce, sigma = dece_rows_kernel(
            logits, target, mixture, gradient=gradient, scale=early, ignore_index=ignore_index
        )
        ctx.save_for_backward(logits.detach(), scale)
        ctx.mark_non_differentiable(loss, ce, sigma)
        return loss.sum() * scale, loss, ce, sigma

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_sum: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        from axolotl_dece.loss.triton_rows import multiply_rows_kernel

        gradient, scale = ctx.saved_tensors
        factor = grad_sum * scale if gradient.dtype == torch.float16 else grad_sum
        multiply_rows_kernel(gradient, factor)
        return gradient, None, None, None, None


@lru_cache
def kernel_agrees(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether the kernel can be built for `device` and finds there what torch finds; decided once, said in the log."""
    if find_spec("triton") is None:
        LOG.warning("DeCE: Triton is not installed, so the loss is computed by torch's own operations, which is slower")
        return False
    from triton.errors import TritonError

    try:
        difference = _kernel_difference(device, dtype)
    except (TritonError, RuntimeError, OSError, SubprocessError) as error:
        LOG.warning("DeCE: Triton cannot build the kernel on %s (%s); torch's own operations are used", device, error)
        return False
    allowed = 1e-4 if dtype == torch.float32 else 1e-2
    if difference < allowed:
        return True
    LOG.warning(
        "DeCE: on %s the kernel differs from torch by %.1e, more than %.0e; torch's own operations are used. "
        "Please report this with the output of `axolotl dece bench`.",
        *(device, difference, allowed),
    )
    return False


def _kernel_difference(device: torch.device, dtype: torch.dtype) -> float:
    """Largest relative difference of loss and gradient between kernel and torch on a few rows of 32,003 classes."""
    from axolotl_dece.loss.triton_rows import dece_rows_kernel

    generator = torch.Generator().manual_seed(0)
    logits = (3.0 * torch.randn(4, 32003, generator=generator)).to(device, dtype)
    target = torch.tensor([5, 32002, -100, 0], device=device)
    logits[0, 5] += 25.0
    differences = []
    for mixture in (Mixture(0.9), Mixture(0.9, label_smoothing=0.0)):
        found, expected = logits.clone(), logits.clone()
        terms = dece_rows_kernel(found, target, mixture)
        wanted = overwrite_logits(expected, target, mixture)
        for mine, theirs in zip((found, *terms), (expected, *wanted), strict=True):
            mine, theirs = mine.float(), theirs.float()
            differences.append(((mine - theirs).norm() / theirs.norm()).item())
    # max() would pass over NaN
    return max(math.inf if math.isnan(d) else d for d in differences)
