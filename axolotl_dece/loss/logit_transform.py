"""What a model does to its logits between the LM head and the loss, and how that is found out to be true.

A head that computes the loss itself has to apply the model's scale and softcap before. They are read from the
config, and checked on the model: instead of logits the head returns a fixed grid of numbers, the model's own code
works on it, and what arrives at the loss must be what was assumed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

GRID = (-300.0, -60.0, -10.0, -3.0, -1.0, -0.3, 0.3, 1.0, 3.0, 10.0, 60.0, 300.0)
"""Values the placeholder carries: both signs, from where a softcap is linear to where it is flat."""


@dataclass(frozen=True)
class LogitTransform:
    """`softcap * tanh(scale * z / softcap)`, or `scale * z` without a softcap."""

    scale: float = 1.0
    softcap: float | None = None

    @classmethod
    def of(cls, config: Any) -> LogitTransform:
        """The transform that a transformers `config` describes; its text part, where it has several."""
        text = config.get_text_config() if hasattr(config, "get_text_config") else config
        scale = 1.0
        if getattr(text, "logit_scale", None):  # Cohere
            scale = float(text.logit_scale)
        if getattr(text, "logits_scaling", None):  # Granite divides by it; HyperCLOVA X multiplies
            multiplies = text.model_type == "hyperclovax"
            scale = float(text.logits_scaling) if multiplies else 1.0 / float(text.logits_scaling)
        if getattr(text, "lm_head_multiplier", None):  # Falcon-H1
            scale = float(text.lm_head_multiplier)
        softcap = getattr(text, "final_logit_softcapping", None)  # Gemma 2 and later
        return cls(scale, float(softcap) if softcap else None)

    @property
    def is_linear(self) -> bool:
        """Whether it is a multiplication and no more."""
        return self.softcap is None

    def __call__(self, logits: Tensor) -> Tensor:
        if self.scale != 1.0:
            logits = logits * self.scale
        if self.softcap is not None:
            logits = torch.tanh(logits / self.softcap) * self.softcap
        return logits

    def check(self, found: Tensor) -> None:
        """Raise RuntimeError unless `found` [..., 12] is the placeholder after this transform."""
        expected = self(placeholder((), found.device, torch.float32))
        seen = found.detach().reshape(-1, found.size(-1))[0].float()
        if seen.shape == expected.shape and torch.allclose(seen, expected, rtol=2e-2, atol=1e-3):
            return
        raise RuntimeError(
            "the model does something to its logits that the fused head does not know, so it would train another "
            f"objective: {[round(x, 3) for x in expected.tolist()]} was expected at the loss, "
            f"{[round(x, 3) for x in seen.tolist()]} arrived. Set `dece_fused_head: false`."
        )


def placeholder(shape: tuple[int, ...], device: torch.device, dtype: torch.dtype) -> Tensor:
    """The grid, repeated: [*shape, 12]."""
    return torch.tensor(GRID, device=device, dtype=dtype).expand(*shape, len(GRID)).clone()
