"""What stands in a model's `loss_function` during training: the loss of one micro-batch, normalised once.

It is set on the one model instance. transformers calls it with the logits after the model's own scaling and
softcapping, and adds the router loss of a mixture of experts to what it returns; adapters, packing and DeepSpeed
never notice. docs/how-it-works.md compares it with the other hooks.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import astuple, dataclass
from operator import add
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from axolotl_dece.loss.backend import sum_over_logits
from axolotl_dece.loss.causal_model import find_causal_model
from axolotl_dece.loss.criterion import Criterion, Mixture
from axolotl_dece.loss.names import IGNORE_INDEX


@dataclass
class StepTotals:
    """Sums over the target tokens one rank has seen since they were last taken; plain numbers.

    Attributes:
        loss: Sum of the training loss.
        ce: Sum of plain cross-entropy.
        held_back: Sum of the withheld share of the target's gradient, each in [0, 1].
        tokens: How many there were.
    """

    loss: float = 0.0
    ce: float = 0.0
    held_back: float = 0.0
    tokens: float = 0.0

    def __add__(self, other: StepTotals) -> StepTotals:
        return StepTotals(*map(add, astuple(self), astuple(other)))


class Objective:
    """Replaces `model.loss_function` of one causal language model; in eval the model's own loss is used unchanged.

    Args:
        model: The model whose forward calls `self.loss_function`.
        criterion: What is trained; the alpha of a mixture is replaced at every step.

    Attributes:
        observe: Called with sigma [N] after every micro-batch, by whoever keeps account of single tokens.
        plain: For each micro-batch to come, which of its tokens train as under cross-entropy, [N]; empty where none do.
    """

    def __init__(self, model: Any, criterion: Criterion) -> None:
        self.model = model
        self.criterion = criterion
        self.calls = 0
        self.observe: Callable[[Tensor], None] | None = None
        self.plain: deque[Tensor] = deque()
        self._scale: Tensor | float | None = None
        self._totals: Tensor | None = None
        self._model_loss: Callable[..., Tensor] = model.loss_function

    def begin_step(self, criterion: Criterion, scale: Tensor | float) -> None:
        """Set what holds for every micro-batch of the coming optimiser step.

        Args:
            criterion: What is trained in this step.
            scale: What the sum over a micro-batch is multiplied by, a number or a 0-d tensor.
        """
        self.criterion = criterion
        self._scale = scale

    # the mixture changes at every step and must not become part of a compiled graph
    @torch.compiler.disable
    def __call__(
        self, logits: Tensor, labels: Tensor | None = None, vocab_size: int | None = None, **kwargs: Any
    ) -> Tensor:
        """transformers' loss signature: logits [B, T, V], labels [B, T] not shifted. A scalar."""
        if not self.model.training:
            return self._model_loss(logits=logits, labels=labels, vocab_size=vocab_size, **kwargs)
        self.check_normalised_once(kwargs)
        target = next_tokens(labels, kwargs.get("shift_labels")).reshape(-1).to(logits.device)
        flat = logits.reshape(-1, logits.size(-1))
        loss, statistics = sum_over_logits(flat, target, self.next_criterion(), self.scale, ignore_index=IGNORE_INDEX)
        self.record(*statistics, target != IGNORE_INDEX)
        return loss

    @property
    def mixture(self) -> Mixture:
        """What is trained, where that has an alpha; RuntimeError for a baseline, which has none."""
        if not isinstance(self.criterion, Mixture):
            raise RuntimeError(f"{self.criterion} is no mixture of prediction and label, so it has no alpha")
        return self.criterion

    def next_criterion(self) -> Criterion:
        """What the micro-batch that is being computed is trained on; asked for once by each."""
        if not self.plain:
            return self.criterion
        return self.criterion.trusting(self.plain.popleft())

    @property
    def scale(self) -> Tensor | float:
        """What the sum over a micro-batch of this step is multiplied by."""
        if self._scale is None:
            raise RuntimeError("the loss was called outside of an optimiser step, where its normaliser is not known")
        return self._scale

    def check_normalised_once(self, kwargs: Mapping[str, Any]) -> None:
        """Raise when the arguments of the loss function say that the trainer divides by a count of tokens as well."""
        if kwargs.get("num_items_in_batch") is not None:
            raise RuntimeError("the trainer also normalises by token count, so the loss would be normalised twice")

    def take_totals(self) -> StepTotals:
        """The sums since the last call, and start anew. Waits for the device: once per optimiser step at most."""
        totals = StepTotals() if self._totals is None else StepTotals(*self._totals.tolist())
        self._totals = None
        return totals

    def record(self, loss: Tensor, ce: Tensor, sigma: Tensor, valid: Tensor) -> None:
        """Count one micro-batch: its rows [N], zero where masked, and which of them are target tokens."""
        tokens = valid.sum()
        sums = torch.stack([loss.detach().sum(), ce.sum(), tokens - sigma.sum(), tokens.to(ce.dtype)])
        self._totals = sums if self._totals is None else self._totals + sums
        self.calls += 1
        if self.observe is not None:
            self.observe(sigma)


def next_tokens(labels: Tensor | None, shift_labels: Tensor | None = None) -> Tensor:
    """The target of every position: labels moved one to the left, nothing to predict at the end. Shapes [..., T]."""
    if shift_labels is not None:
        return shift_labels
    if labels is None:
        raise ValueError("the batch has no labels, so there is nothing to train on")
    return F.pad(labels, (0, 1), value=IGNORE_INDEX)[..., 1:]


def install(model: Any, criterion: Criterion) -> Objective:
    """Make `criterion` the training loss of `model` (or of what an adapter wraps) and return the objective."""
    causal = find_causal_model(model)
    objective = Objective(causal, criterion)
    causal.loss_function = objective
    return objective
