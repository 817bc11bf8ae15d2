"""Refusal that is decided once: the task of an experiment, with a plugin that stands behind `axolotl_dece.DecePlugin`.

    task: {name: tests.benchmarks.fixed_refusal, decides: base}

A loss that refuses a token weighs its cross-entropy by how likely the model finds it, so the weight rises with every
visit. Here the weight of every target token is what the loss of the arm gives it under the base model, or, with
`decides: first_pass`, under the model after one pass over the data, which trains as the arm says. From then on
the token trains with its cross-entropy times that number, and label smoothing is left out.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import batched
from pathlib import Path
from typing import Literal

import torch
from axolotl.integrations.base import BasePlugin
from axolotl.utils.dict import DictDefault
from pydantic import Field
from torch import Tensor
from transformers import Trainer

from axolotl_dece.audit.record.row_key import NO_ROW, target_keys
from axolotl_dece.experiment.task import Material
from axolotl_dece.loss.criterion import Criterion
from axolotl_dece.loss.objective import next_tokens
from axolotl_dece.loss.rivals import Baseline, on_target
from axolotl_dece.loss.torch_rows import overwrite_logits
from axolotl_dece.step import StepKeeper
from examples.tasks.synthetic import SyntheticTask

_ROWS = 64
"""Rows of a pass that only looks."""


@dataclass(frozen=True)
class WeightedCrossEntropy(Baseline):
    """-w log p_y with a weight for every row, `weight` [N] in [0, 1]."""

    weight: Tensor

    def of_rows(self, rows: slice | Tensor) -> WeightedCrossEntropy:
        """The loss of some of the rows."""
        return replace(self, weight=self.weight[rows])

    def loss_and_slope(self, log_p: Tensor, column: Tensor) -> tuple[Tensor, Tensor]:
        """As `Baseline.loss_and_slope`."""
        weight = self.weight.to(log_p.dtype)[:, None]
        return -weight * log_p.gather(1, column), on_target(log_p, column, -weight)


class Refusal:
    """The weights of all tokens, once they are decided.

    Args:
        trainer: Its model decides, on the rows of its training set.
        keeper: Its objective gets the weights, micro-batch by micro-batch.
        passes: Over the data, before the model decides.
    """

    def __init__(self, trainer: Trainer, keeper: StepKeeper, passes: int) -> None:
        self.trainer, self.keeper, self.passes = trainer, keeper, passes
        self.weights: dict[int, Tensor] = {}
        self._coming: deque[Tensor] = deque()
        self._plain = keeper.objective.next_criterion
        keeper.objective.next_criterion = self._next_criterion  # type: ignore[method-assign]
        keeper.before_step.append(self.look)

    def look(self, batches: list[dict[str, Tensor]]) -> None:
        """Line up the weights of a step's micro-batches."""
        if self.keeper.epoch < self.passes:
            return
        if not self.weights:
            self.weights = dict(self._decide())
        self._coming.extend(self._of(batch) for batch in batches)

    def _next_criterion(self) -> Criterion:
        return WeightedCrossEntropy(self._coming.popleft()) if self._coming else self._plain()

    @torch.no_grad()
    def _decide(self) -> Iterator[tuple[int, Tensor]]:
        model, rows = self.trainer.model, self.trainer.train_dataset
        was_training = model.training
        model.eval()
        for some in batched(range(len(rows)), _ROWS):
            batch = self.trainer.data_collator([rows[one] for one in some])
            asked = {name: batch[name] for name in ("input_ids", "attention_mask")}
            logits = model(**asked).logits.float()
            target = next_tokens(batch["labels"])
            found = overwrite_logits(
                logits.reshape(-1, logits.size(-1)), target.reshape(-1), self._plain(), gradient=False
            )
            for (key, at), sigma in zip(lines(batch), found.sigma.view_as(target), strict=True):
                yield key, sigma[at]
        model.train(was_training)

    def _of(self, batch: dict[str, Tensor]) -> Tensor:
        weight = torch.zeros(batch["labels"].shape)
        for row, (key, at) in zip(weight, lines(batch), strict=True):
            row[at] = self.weights[key]
        return weight.reshape(-1)


def lines(batch: dict[str, Tensor]) -> Iterator[tuple[int, Tensor]]:
    """Of a batch with a row to a line: the key of each, and where its targets are predicted, [T]."""
    for keys in target_keys(batch).view_as(batch["labels"]):
        at = keys != NO_ROW
        yield int(keys[at][0]), at


class ByTheBase(BasePlugin):
    """The base model decides."""

    passes = 0

    def post_trainer_create(self, cfg: DictDefault, trainer: Trainer) -> None:
        """Find what `DecePlugin`, which stands before this, put into the trainer."""
        (keeper,) = (one for one in trainer.callback_handler.callbacks if isinstance(one, StepKeeper))
        Refusal(trainer, keeper, self.passes)


class ByTheFirstPass(ByTheBase):
    """The model decides after one pass over the data."""

    passes = 1


_PLUGINS = {"base": ByTheBase, "first_pass": ByTheFirstPass}


class FixedRefusalTask(SyntheticTask):
    """The synthetic task, where refusal is decided once."""

    decides: Literal["base", "first_pass"] = Field(description="The model that decides.")

    def prepare(self, folder: Path, seed: int) -> Material:
        """What the synthetic task makes, and the plugin beside DeCE's."""
        made, mine = super().prepare(folder, seed), _PLUGINS[self.decides]
        plugins = ["axolotl_dece.DecePlugin", f"{mine.__module__}.{mine.__qualname__}"]
        return replace(made, config={**made.config, "plugins": plugins})


TASK = FixedRefusalTask
