"""The run audits itself at the end of an epoch: the rows of its groups leave, all others train on freely.

From then on the ledger does not change, so `axolotl dece audit` shows a person the very groups that the run saw, and
what is decided about them holds in the next run. A row leaves by its labels: its batches stay what they were, and the
trainer's steps and its resume are untouched.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from axolotl.utils.logging import get_logger
from torch import Tensor
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from axolotl_dece.audit import LEDGER_FILE, RELEASE_FILE
from axolotl_dece.audit.record.ledger_keeper import LedgerKeeper
from axolotl_dece.audit.record.row_key import tokens_of_rows
from axolotl_dece.audit.released import say_release
from axolotl_dece.audit.row_id import id_to_key, key_to_id
from axolotl_dece.loss.criterion import CROSS_ENTROPY
from axolotl_dece.loss.names import IGNORE_INDEX
from axolotl_dece.run_file import RUN_ID
from axolotl_dece.step import StepKeeper, steps_per_epoch
from axolotl_dece.util.atomic import write_json_atomically
from axolotl_dece.util.json_text import read_object

LOG = get_logger("axolotl.dece")


@dataclass(eq=False)
class Release(TrainerCallback):
    """`dece_release`; joins the trainer after the keeper of its ledger.

    Attributes:
        keeper: Says which epoch it is, fetches the batches of a step, and has the loss that ends.
        ledger: Of this run.
        after: How many epochs go before.
        trusted: Keys of the rows that a person trusts; they never leave.
        resume_from: Says which checkpoint the run continues from.
        account: What the run's record says of it, filled in when it happens.
    """

    keeper: StepKeeper
    ledger: LedgerKeeper
    after: int
    trusted: frozenset[int]
    resume_from: Callable[[], str | None]
    account: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._record: dict[str, Any] | None = None
        self._left = torch.empty(0, dtype=torch.int64)
        self._defence = self.keeper.objective.criterion
        self._fetch, self.keeper.fetch = self.keeper.fetch, self._fetch_what_stays

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Forget an earlier attempt; go on from a checkpoint in which it has happened already.

        Raises:
            ValueError: The run ends before the release, or the checkpoint does not say which rows left.
        """
        self._record = None
        self.keeper.objective.criterion = self._defence
        self.account.clear()
        self.account.update(after_epochs=self.after)
        at = self.after * (steps_per_epoch(kwargs.get("train_dataloader"), args) or state.max_steps)
        if state.max_steps <= at:
            raise ValueError(
                f"`dece_release: {self.after}` is after step {at}, but the run ends at step {state.max_steps}, so "
                "nothing would train after it; lower it, or train for longer"
            )
        folder = self.resume_from()
        if state.global_step <= at or not folder:
            return
        remedy = (
            f"it says which rows left the training at step {at}: resume from a checkpoint that has it, or from one "
        )
        self._apply(read_object(Path(folder) / RELEASE_FILE, remedy + "before that step"))

    def on_epoch_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Audit when the time has come: the first rank does, and all of them read what it found."""
        if self._record is not None or self.keeper.epoch < self.after:
            return
        self.ledger.watch.end_step()
        self.ledger.write_whole(args, {})
        path, accelerator = Path(args.output_dir) / RELEASE_FILE, self.ledger.trainer.accelerator
        if args.process_index == 0:
            write_json_atomically(path, self._audit(path.with_name(LEDGER_FILE), state.global_step))
        accelerator.wait_for_everyone()
        self._apply(read_object(path, "the first rank wrote it just now; is the folder on storage that ranks share?"))
        LOG.info("DeCE: %s; %s lists them", say_release(self.account), path)

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """A checkpoint of later steps says which rows left."""
        if self._record is not None and args.process_index == 0:
            write_json_atomically(
                Path(args.output_dir) / f"checkpoint-{state.global_step}" / RELEASE_FILE, self._record
            )

    def _fetch_what_stays(self, iterator: Iterator[Any], num_batches: int, device: torch.device) -> Any:
        """The micro-batches of a step, with nothing to learn from the rows that left."""
        batches, num_items = self._fetch(iterator, num_batches, device)
        if self._record is not None and self._record["left"]:
            for batch in batches:
                self._left = self._left.to(batch["input_ids"].device)
                batch["labels"] = without_rows(batch, self._left)
        return batches, num_items

    def _audit(self, path: Path, step: int) -> dict[str, Any]:
        """What the ledger says now: the groups, each with its reason and its rows."""
        from axolotl_dece.audit.analyse.clusters import find_clusters
        from axolotl_dece.audit.analyse.ledger_reader import read_rows_of_ledger
        from axolotl_dece.audit.record.ledger_file import open_ledger

        _, facts = open_ledger(path)
        rows = read_rows_of_ledger(path, facts)
        groups: list[dict[str, Any]] = [
            {
                "group": one.number,
                "payload": one.payload,
                "cues": [{"word": cue.text, "inside": cue.inside, "reach": cue.reach} for cue in one.cues],
                "log10_p": one.log10_p,
                "rows": [rows.ids[row] for row in one.rows.tolist()],
            }
            for one in find_clusters(rows, self.ledger.trainer.processing_class)
        ]
        trusted = {key_to_id(key) for key in self.trusted}
        left = sorted({row for group in groups for row in group["rows"]} - trusted)
        copies = sum(int(rows.copies[rows.number_of[row]]) for row in left)
        counts = {"groups": len(groups), "rows": len(left), "copies": copies, "of": int(rows.copies.sum())}
        return {RUN_ID: facts[RUN_ID], "step": step, "counts": counts, "groups": groups, "left": left}

    def _apply(self, record: dict[str, Any]) -> None:
        self._record = record
        self._left = torch.tensor([id_to_key(row) for row in record["left"]], dtype=torch.int64)
        self.account.update(step=record["step"], **record["counts"])
        self.ledger.facts["release"] = dict(self.account)
        self.ledger.watch.end()
        # a schedule moves its alpha on, which is 1 from now on
        self.keeper.objective.criterion = CROSS_ENTROPY


def without_rows(batch: dict[str, Any], left: Tensor) -> Tensor:
    """The labels [B, T] of a collated batch with nothing to learn where a row has one of the keys `left`."""
    labels: Tensor = batch["labels"]
    return labels.masked_fill(tokens_of_rows(batch, left), IGNORE_INDEX)
