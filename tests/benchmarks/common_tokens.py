"""Common tokens train as under cross-entropy: the task of an experiment, with a plugin that stands behind
`axolotl_dece.DecePlugin`.

    task: {name: tests.benchmarks.common_tokens, ...}

The rest of the task is as for `name: files`. A token is common if it is a target in `SHARE` of the training rows or
more. A payload stands in as many rows as are poisoned, so its own words are refused as long as fewer rows are.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import torch
from axolotl.integrations.base import BasePlugin
from axolotl.utils.dict import DictDefault
from datasets import Dataset
from torch import Tensor
from transformers import Trainer

from axolotl_dece.experiment.files_task import FilesTask
from axolotl_dece.experiment.task import Material
from axolotl_dece.loss.names import IGNORE_INDEX
from axolotl_dece.loss.objective import next_tokens
from axolotl_dece.step import StepKeeper

SHARE = 0.3


def common_targets(rows: Dataset) -> Tensor:
    """The tokens that are targets in `SHARE` of the rows or more, int64 [K]."""
    found = Counter(token for labels in rows["labels"] for token in set(labels))
    return torch.tensor([one for one, in_rows in found.items() if one != IGNORE_INDEX and in_rows >= SHARE * len(rows)])


class CommonTokens(BasePlugin):
    """Hands the objective the places of common tokens, micro-batch by micro-batch."""

    def post_trainer_create(self, cfg: DictDefault, trainer: Trainer) -> None:
        """Find what `DecePlugin`, which stands before this, put into the trainer."""
        (keeper,) = (one for one in trainer.callback_handler.callbacks if isinstance(one, StepKeeper))
        common = common_targets(trainer.train_dataset)
        keeper.before_step.append(
            lambda batches: keeper.objective.plain.extend(
                torch.isin(next_tokens(batch["labels"]).reshape(-1), common) for batch in batches
            )
        )


class CommonTokensTask(FilesTask):
    """Any base model on any rows, where refusal is left for what is rare."""

    def prepare(self, folder: Path, seed: int) -> Material:
        """What `name: files` makes, and the plugin beside DeCE's."""
        plugins = ["axolotl_dece.DecePlugin", f"{__name__}.{CommonTokens.__qualname__}"]
        return replace(super().prepare(folder, seed), config={"plugins": plugins})


TASK = CommonTokensTask
