"""The ledger in the trainer: it follows the steps, lies in every checkpoint, and is merged over ranks at the end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from axolotl_dece.audit import LEDGER_FILE
from axolotl_dece.audit.decisions import Decisions, write_account
from axolotl_dece.audit.record.ledger import Ledger
from axolotl_dece.audit.record.ledger_file import dataset_digest, part_file, read_part, write_ledger, write_part
from axolotl_dece.audit.record.row_table import RowTable, read_rows
from axolotl_dece.audit.record.row_watch import RowWatch
from axolotl_dece.run_file import RUN_ID


@dataclass(eq=False)
class LedgerKeeper(TrainerCallback):
    """Carries a `RowWatch` through training and keeps its ledger.

    Attributes:
        trainer: Its training set is the one the table was made of.
        watch: Where the ledger is, if one is kept.
        table: Of the training set.
        facts: What identifies the run, written into the ledger.
        resume_from: Says which checkpoint the run continues from; axolotl may find it late.
        decisions: What was decided about rows, to be written beside the weights.
    """

    trainer: Trainer
    watch: RowWatch
    table: RowTable
    facts: dict[str, Any]
    resume_from: Callable[[], str | None]
    decisions: Decisions | None = None

    def __post_init__(self) -> None:
        self.facts = self.facts | {"dataset": dataset_digest(self.table)}

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Start with what the checkpoint knows; only the first rank takes it over, or it would count twice."""
        if self.decisions is not None and self.trainer.is_local_process_zero():
            write_account(Path(args.output_dir), self.decisions, self.facts[RUN_ID])
        if self.watch.ledger is None:
            return
        folder = self.resume_from()
        if state.global_step and folder and args.process_index == 0:
            self.watch.start(self._read_parts(Path(folder)))
        else:
            self.watch.start(Ledger.empty(self.table.keys, self.table.targets))

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Enter the step."""
        self.watch.end_step()

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Every rank writes what it knows into the checkpoint."""
        self._write_part(args, Path(args.output_dir) / f"checkpoint-{state.global_step}")

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """The ledger of the whole run, beside the weights."""
        self.write_whole(args, {"epochs": state.num_train_epochs, "steps": state.global_step})

    def write_whole(self, args: TrainingArguments, facts: Mapping[str, Any]) -> None:
        """Every rank writes its part; the first one merges them into one file with the rows' tokens, if one is kept.

        Args:
            args: Where to, and which rank this is.
            facts: What the file says beside what identifies the run.
        """
        if self.watch.ledger is None:
            return
        folder = Path(args.output_dir)
        parts = [folder / part_file(rank, args.world_size) for rank in range(args.world_size)]
        if args.world_size > 1:
            self._write_part(args, folder)
            self.trainer.accelerator.wait_for_everyone()
        if args.process_index == 0:
            ledger = self._read_parts(folder) if args.world_size > 1 else self.watch.ledger
            tokens = read_rows(self.trainer.train_dataset)
            write_ledger(folder / LEDGER_FILE, ledger, self.table, tokens, self.facts | dict(facts))
            for part in parts:
                part.unlink(missing_ok=True)

    def _write_part(self, args: TrainingArguments, folder: Path) -> None:
        if self.watch.ledger is not None:
            write_part(folder / part_file(args.process_index, args.world_size), self.watch.ledger, self.facts)

    def _read_parts(self, folder: Path) -> Ledger:
        """What all ranks together knew when they wrote their parts into `folder`."""
        found = sorted(folder.glob("_dece_ledger-*-of-*.parquet"))
        if not found:
            raise ValueError(
                f"{folder} holds no ledger, so what was withheld before it is not known. Train from the start, or set "
                "`dece_audit: false` to go on without a ledger"
            )
        ranks = int(found[0].stem.rpartition("-")[2])
        expected = [folder / part_file(rank, ranks) for rank in range(ranks)]
        if found != expected:
            raise ValueError(
                f"{folder} should hold the ledger of {ranks} ranks, but holds {[path.name for path in found]}; with "
                "several machines `output_dir` must be on storage they share. Set `dece_audit: false` to go on "
                "without a ledger"
            )
        merged = self._read_part(expected[0])
        for path in expected[1:]:
            merged.add(self._read_part(path))
        return merged

    def _read_part(self, path: Path) -> Ledger:
        ledger, facts = read_part(path)
        if facts["dataset"] != self.facts["dataset"]:
            raise ValueError(
                f"{path} is the ledger of another training set: rows were added, removed or changed since. Resume with "
                "the data it was trained on, or set `dece_audit: false`"
            )
        return ledger
