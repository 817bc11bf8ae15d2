"""Between the trainer and the objective: progress becomes alpha, counts become the normaliser, sums become curves.

`StepKeeper` is also the tripwire: it stops the run when the loss that trained a step was not ours
(`step_checks.py`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import torch
from axolotl.core.trainers.base import AxolotlTrainer
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from axolotl_dece.loss.criterion import Criterion
from axolotl_dece.loss.names import IGNORE_INDEX
from axolotl_dece.loss.objective import Objective, StepTotals
from axolotl_dece.schedule import AlphaSchedule, Progress
from axolotl_dece.step_checks import check_calls, check_finite, check_tokens


class StepKeeper(TrainerCallback):
    """Prepares the objective before each optimiser step and checks it afterwards.

    The sum of a micro-batch is multiplied by (micro-batches * ranks / target tokens of the whole step); the trainer's
    own mean over micro-batches and ranks undoes the first two factors. What remains is the mean over all target
    tokens of the step, however they were dealt out, while a router loss that the model adds is averaged as it should.

    Args:
        trainer: Its `get_batch_samples` is wrapped on the instance: the one place that sees a whole step.
        objective: What computes the loss.
        schedule: alpha over training, or None where the loss has none.

    Attributes:
        fetch: Gives the micro-batches of a step; who takes labels out of them wraps it, so that counts are right.
        before_step: Called with the micro-batches of every optimiser step before it runs.
    """

    def __init__(self, trainer: AxolotlTrainer, objective: Objective, schedule: AlphaSchedule | None) -> None:
        self.trainer = trainer
        self.objective = objective
        self.schedule = schedule
        self.fetch: Callable[..., tuple[list[Any], Any]] = trainer.get_batch_samples
        trainer.get_batch_samples = self._get_batch_samples
        self.before_step: list[Callable[[list[Any]], None]] = []
        self._epoch: int | None = None
        self._expected_calls = 0
        self._expected_tokens: torch.Tensor | float = 0.0
        self._since_log = StepTotals()

    @property
    def alpha(self) -> float | None:
        """alpha of the step that runs or ran last; None for a loss without one."""
        return float(self.objective.mixture.alpha) if self.schedule else None

    @property
    def epoch(self) -> int:
        """The pass over the data that is under way, from 0."""
        return self._epoch or 0

    def _get_batch_samples(self, iterator: Iterator[Any], num_batches: int, device: torch.device) -> Any:
        batches, num_items = self.fetch(iterator, num_batches, device)
        if batches:
            self._begin_step(batches, device)
        return batches, num_items

    def _begin_step(self, batches: list[Any], device: torch.device) -> None:
        accelerator = self.trainer.accelerator
        tokens = torch.stack([count_targets(batch).to(device) for batch in batches]).sum()
        all_tokens = accelerator.gather(tokens.reshape(1)).sum().clamp(min=1)
        self.objective.begin_step(self._criterion(), len(batches) * accelerator.num_processes / all_tokens)
        self._expected_calls += len(batches)
        self._expected_tokens = self._expected_tokens + tokens
        for look in self.before_step:
            look(batches)

    def _criterion(self) -> Criterion:
        if self.schedule is None:
            return self.objective.criterion
        state = self.trainer.state
        progress = Progress(state.global_step, state.max_steps, self.epoch)
        return replace(self.objective.mixture, alpha=self.schedule.at(progress))

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Forget an earlier attempt: a trainer that looks for a batch size starts over in the same process."""
        self._epoch = None
        self._reset_counts()
        self.objective.take_totals()
        self._since_log = StepTotals()

    def on_epoch_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Follow the trainer's own epoch: `state.epoch` lags behind it with packing leftovers and with streams."""
        if self._epoch is None:
            per_epoch = steps_per_epoch(kwargs.get("train_dataloader"), args)
            self._epoch = int(state.global_step // per_epoch) if per_epoch else 0
        else:
            self._epoch += 1

    def on_pre_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """The only wait for the device in a step: check what was summed, before the weights take it up."""
        totals = self.objective.take_totals()
        step = state.global_step + 1
        check_calls(step, self.objective.calls, self._expected_calls)
        check_tokens(step, totals, float(self._expected_tokens))
        check_finite(step, totals)
        self._reset_counts()
        self._since_log += totals

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Hand the curves to the trainer's own log when it is about to write one."""
        if self._expected_calls:
            # a trainer that never announces its optimiser step would leave every check out
            self.on_pre_optimizer_step(args, state, control)
        if control.should_log:
            self._store_metrics()

    def on_epoch_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """The same where logging follows epochs."""
        if control.should_log:
            self._store_metrics()

    def _reset_counts(self) -> None:
        self.objective.calls = 0
        self._expected_calls = 0
        self._expected_tokens = 0.0

    def _store_metrics(self) -> None:
        mine = self._since_log
        sums = torch.tensor([[mine.ce, mine.held_back, mine.tokens]], device=self.trainer.args.device)
        ce, held_back, tokens = self.trainer.accelerator.gather(sums).sum(dim=0).tolist()
        self._since_log = StepTotals()
        if not tokens:
            return
        metrics = {"dece/ce": ce / tokens, "dece/held_back": held_back / tokens}
        if self.alpha is not None:
            metrics["dece/alpha"] = self.alpha
        self.trainer.store_metrics(metrics, train_eval="train")


def count_targets(batch: dict[str, Any]) -> torch.Tensor:
    """How many tokens of a collated batch are trained on; a 0-d tensor on the batch's device."""
    if "shift_labels" in batch:
        return (batch["shift_labels"] != IGNORE_INDEX).sum()
    return (batch["labels"][..., 1:] != IGNORE_INDEX).sum()


def steps_per_epoch(train_dataloader: Any, args: TrainingArguments) -> int | None:
    """Optimiser steps in one pass, as the trainer counts them; None where the data has no length."""
    try:
        batches = len(train_dataloader)
    except TypeError:
        return None
    return max(1, math.ceil(batches / args.gradient_accumulation_steps))
