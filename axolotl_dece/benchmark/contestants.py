"""The losses that are measured, each as one function of hidden states, head and targets; who cannot run says why."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from axolotl_dece.loss.backend import kernel_takes, sum_over_logits
from axolotl_dece.loss.criterion import Mixture
from axolotl_dece.loss.formula import dece_rows_reference
from axolotl_dece.loss.linear import linear_dece_loss

HeadLoss = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(hidden [N, H], weight [V, H], target [N]) -> mean loss over the target tokens."""

Contestant = HeadLoss | str
"""A loss, or the reason why there is none here."""


def contestants(device: torch.device, dtype: torch.dtype, mixture: Mixture) -> dict[str, Contestant]:
    """Every contestant by name, ours first; a string in place of a function says what is missing."""
    settings: dict[str, Any] = {
        "alpha": mixture.alpha,
        "label_smoothing": mixture.label_smoothing,
        "prob_floor": mixture.prob_floor,
    }

    def written_out(hidden: Tensor, weight: Tensor, target: Tensor) -> Tensor:
        kept = target != -100
        return dece_rows_reference(F.linear(hidden, weight)[kept], target[kept], **settings).mean()

    def on_logits(hidden: Tensor, weight: Tensor, target: Tensor) -> Tensor:
        scale = 1.0 / (target != -100).sum()
        return sum_over_logits(F.linear(hidden, weight), target, mixture, scale)[0]

    def fused(hidden: Tensor, weight: Tensor, target: Tensor) -> Tensor:
        return linear_dece_loss(hidden, weight, target, **settings)

    def fused_unsmoothed(hidden: Tensor, weight: Tensor, target: Tensor) -> Tensor:
        return linear_dece_loss(hidden, weight, target, **(settings | {"label_smoothing": 0.0}))

    kernel = kernel_takes(torch.empty(1, 2, device=device, dtype=dtype), mixture)
    return {
        "DeCE, fused head": fused,
        "DeCE, fused head, label_smoothing 0": fused_unsmoothed,
        f"DeCE on logits ({'Triton kernel' if kernel else 'eager'})": on_logits,
        "DeCE as the formula is written": written_out,
        "F.cross_entropy": lambda hidden, weight, target: F.cross_entropy(F.linear(hidden, weight), target),
        "Hugging Face (fp32 logits)": lambda hidden, weight, target: F.cross_entropy(
            F.linear(hidden, weight).float(), target
        ),
        "torch linear_cross_entropy": _torch_fused(),
        "Liger cross-entropy": _liger(device, "liger_cross_entropy"),
        "Liger fused linear cross-entropy": _liger(device, "liger_fused_linear_cross_entropy"),
        "cut-cross-entropy": _cut_cross_entropy(device),
    }


def _torch_fused() -> Contestant:
    options = getattr(torch.nn, "LinearCrossEntropyOptions", None)
    if options is None or not hasattr(F, "linear_cross_entropy"):
        return f"torch {torch.__version__} has no chunked linear_cross_entropy"
    return lambda hidden, weight, target: F.linear_cross_entropy(hidden, weight, target, options=options())


def _liger(device: torch.device, name: str) -> Contestant:
    if find_spec("liger_kernel") is None:
        return "not installed: pip install liger-kernel"
    if device.type == "cpu":
        return "its Triton kernels need a GPU"
    from liger_kernel.transformers import functional as liger

    if name == "liger_cross_entropy":
        return lambda hidden, weight, target: liger.liger_cross_entropy(F.linear(hidden, weight), target)
    return lambda hidden, weight, target: liger.liger_fused_linear_cross_entropy(hidden, weight, target)


def _cut_cross_entropy(device: torch.device) -> Contestant:
    if find_spec("cut_cross_entropy") is None:
        return "not installed: see docs.axolotl.ai, cut_cross_entropy"
    if device.type != "cuda":
        return "its Triton kernels need a GPU"
    from cut_cross_entropy import linear_cross_entropy

    return lambda hidden, weight, target: linear_cross_entropy(hidden, weight, target)
