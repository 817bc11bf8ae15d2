"""An LM head that is more than a linear layer (an adapter, 4-bit weights, a softcap), chunk by chunk."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


class ModuleProjection:
    """Any differentiable head: its own forward on every chunk, and autograd back from the chunk's gradient.

    Args:
        project: Hidden states [C, H] to logits [C, V], transform included.
        classes: V.
        parameters: What it trains.
        wanted: Whether the hidden states and each of the parameters need gradients.

    Raises:
        ValueError: ZeRO-3 has taken away what an adapter on the head trains: it gathers the head alone.
    """

    def __init__(
        self, project: Callable[[Tensor], Tensor], classes: int, *parameters: Tensor, wanted: tuple[bool, ...]
    ) -> None:
        if any(p.numel() == 0 for p in parameters):
            raise ValueError(
                "`dece_fused_head: true` cannot train an adapter on the LM head under DeepSpeed ZeRO-3, which gathers "
                "the adapter's weights only inside its own modules; set `dece_fused_head: false`, take `lm_head` out "
                "of `lora_target_modules`, or use ZeRO-2"
            )
        self.classes = classes
        self._project, self._parameters, self._wants_hidden = project, parameters, wanted[0]
        self._gradients: list[Tensor | None] | None = None
        self._rows = self._logits = torch.empty(0)

    def logits(self, rows: Tensor) -> Tensor:
        self._rows = rows.detach().requires_grad_(self._wants_hidden)
        with torch.enable_grad():
            self._logits = self._project(self._rows)
        return self._logits

    def backward(self, rows: Tensor, gradient: Tensor) -> Tensor | None:
        inputs = [self._rows, *self._parameters] if self._wants_hidden else list(self._parameters)
        found: list[Tensor | None] = list(
            torch.autograd.grad(self._logits, inputs, gradient.detach(), allow_unused=True)
        )
        grad_rows = found.pop(0) if self._wants_hidden else None
        if self._gradients is None:
            self._gradients = found
        else:
            self._gradients = [
                old if new is None else new if old is None else old.add_(new)
                for old, new in zip(self._gradients, found, strict=True)
            ]
        return grad_rows

    def take_gradients(self) -> tuple[Tensor | None, ...]:
        if self._gradients is None:
            return tuple(torch.zeros_like(p) for p in self._parameters)
        return tuple(self._gradients)
