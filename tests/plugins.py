"""Small axolotl plugins that tests list beside ours."""

from __future__ import annotations

import math
from typing import Any

import torch
from axolotl.core.trainers.base import AxolotlTrainer
from axolotl.integrations.base import BasePlugin
from pydantic import BaseModel
from transformers import TrainerCallback


class RememberStart(BasePlugin):
    """Keeps the trainable weights as they were before training, in `trainer.started`."""

    def post_trainer_create(self, cfg: Any, trainer: Any) -> None:
        parameters = trainer.model.named_parameters()
        trainer.started = {name: p.detach().clone() for name, p in parameters if p.requires_grad}


class _AtStep(TrainerCallback):
    def __init__(self, step: int, action: Any) -> None:
        self.step, self.action = step, action

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == self.step:
            self.action()


class PoisonWeightsAtStep3(BasePlugin):
    """Breaks the weights before the third optimiser step."""

    def post_trainer_create(self, cfg: Any, trainer: Any) -> None:
        def fill() -> None:
            with torch.no_grad():
                trainer.model.get_output_embeddings().weight.fill_(math.nan)

        trainer.add_callback(_AtStep(2, fill))


class TakeTheLossAway(BasePlugin):
    """Puts the model's own loss back in the middle of a run."""

    def post_trainer_create(self, cfg: Any, trainer: Any) -> None:
        def restore() -> None:
            del trainer.model._loss_function

        trainer.add_callback(_AtStep(2, restore))


class SetLossFunction(BasePlugin):
    """Brings a loss of its own, the way EAFT does."""

    def post_trainer_create(self, cfg: Any, trainer: Any) -> None:
        trainer.compute_loss_func = lambda outputs, labels, num_items_in_batch=None: outputs.logits.mean()


class _OwnLossTrainer(AxolotlTrainer):
    def compute_loss(self, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        return model(**inputs).logits.mean()


class OwnTrainer(BasePlugin):
    """Brings a trainer that computes its own loss, the way knowledge distillation does."""

    def get_trainer_cls(self, cfg: Any) -> Any:
        return _OwnLossTrainer


class SwitchedOnArgs(BaseModel):
    """Brings a loss by the default of a key, which stands in nobody's config."""

    cut_cross_entropy: bool = True


class SwitchedOn(BasePlugin):
    """Acts by being listed, under a name that nobody knows."""

    def get_input_args(self) -> str:
        return "tests.plugins.SwitchedOnArgs"
