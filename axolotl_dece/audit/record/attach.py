"""The record of rows in a run: dropped rows leave it, trusted ones train as under cross-entropy, all are entered."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from axolotl.utils.dict import DictDefault
from datasets import Dataset
from transformers import Trainer

from axolotl_dece.audit import ACCOUNT_FILE
from axolotl_dece.audit.decisions import Decisions, read_decisions
from axolotl_dece.audit.record.ledger import Ledger
from axolotl_dece.audit.record.ledger_keeper import LedgerKeeper
from axolotl_dece.audit.record.origin import describe_origin
from axolotl_dece.audit.record.release import Release
from axolotl_dece.audit.record.row_table import RowTable, read_rows, tabulate
from axolotl_dece.audit.record.row_watch import RowWatch
from axolotl_dece.audit.released import say_release
from axolotl_dece.features import Feature, Run
from axolotl_dece.run_file import RUN_ID

_MOST_SHOWN = 5


class RowRecord(Feature):
    """`dece_audit: true`, `dece_decisions: FILE` and `dece_release: EPOCHS`."""

    _decisions: Decisions | None = None
    _origin: dict[str, Any] | None = None
    _audited: str | None = None

    def register(self, cfg: DictDefault) -> None:
        """Read the decisions, once: what is applied is what the record will hold the digest of."""
        if cfg.get("dece_decisions"):
            self._decisions = read_decisions(Path(str(cfg["dece_decisions"])))

    def load_datasets(self, cfg: DictDefault) -> None:
        """Note what will be read: files may change while the run goes on."""
        self._origin = describe_origin(cfg) if cfg.get("dece_audit") else None

    def attach(self, run: Run) -> list[str]:
        """Take the dropped rows out, then watch what is left.

        Raises:
            ValueError: The training set is a stream, is not made of tokens with labels, or lacks rows decided about.
        """
        said = []
        if self._decisions is not None:
            run.parameters["dece_decisions"] = self._decisions.sha256  # what it says, not where it lies
            said = drop_rows(run.trainer, self._decisions, run.planted, keep_steps=bool(run.cfg.max_steps))
            said += reserve(self._decisions, run.cfg)
        # a program of its own may have made the trainer without asking for the rows
        origin = self._origin or (describe_origin(run.cfg) if run.cfg.dece_audit else None)
        facts = {RUN_ID: run.run_id, "config_digest": run.config_sha256, "loss": run.cfg.loss, "origin": origin}
        table = tabulate(run.trainer.train_dataset)
        ledger = Ledger.empty(table.keys, table.targets) if run.cfg.dece_audit else None
        trusted = sorted(self._decisions.trust) if self._decisions else []
        watch = RowWatch(run.keeper.objective, ledger, trusted, lambda: run.keeper.epoch)
        run.keeper.before_step.append(watch.begin_step)

        def resume_from() -> str | None:
            found: str | None = run.cfg.resume_from_checkpoint  # axolotl may set it after this
            return found

        kept = LedgerKeeper(run.trainer, watch, table, facts, resume_from, self._decisions)
        run.trainer.add_callback(kept)
        if run.cfg.dece_release:
            refuse_without_prompts(run.trainer.train_dataset, run.cfg.dece_release)
            release = Release(run.keeper, kept, run.cfg.dece_release, frozenset(trusted), resume_from)
            run.trainer.add_callback(release)
            run.parameters["dece_release"] = run.cfg.dece_release
            run.described["release"] = release.account
            ahead = say_release({"after_epochs": run.cfg.dece_release})
            said += [f"{ahead} (`dece_release`), and what the audit does not name is learned from then on"]
        self._audited = run.cfg.output_dir if run.cfg.dece_audit else None
        return said

    def finish(self) -> list[str]:
        """Point to the ledger."""
        found = self._audited
        return [f"`axolotl dece audit {found}` shows which rows were held back, and takes decisions"] if found else []


def refuse_without_prompts(dataset: Dataset, release: int) -> None:
    """Raise ValueError when no row has a prompt: no group could be found, and a release would be cross-entropy."""
    if not any((~rows.is_target & (rows.position > 0)).any() for rows in read_rows(dataset)):
        raise ValueError(
            f"`dece_release: {release}` finds what looks planted by the words of prompts, and no row has a prompt that "
            "is not trained on; remove it, or set `train_on_inputs: false`"
        )


def drop_rows(
    trainer: Trainer, decisions: Decisions, planted: Sequence[bool] | None = None, *, keep_steps: bool
) -> list[str]:
    """Take the dropped rows out of the trainer's training set, and shorten the run to the same number of epochs.

    Args:
        trainer: Not started yet.
        decisions: What was decided; its counts are filled in.
        planted: Of each row whether it is poisoned, where that is known.
        keep_steps: Whether the user fixed the number of steps.

    Returns:
        A sentence for each thing done.

    Raises:
        ValueError: The file names rows the training set does not hold, or drops all of them.
    """
    table = tabulate(trainer.train_dataset)
    check_known(decisions, table)
    dropped = np.isin(table.all_keys, np.array(sorted(decisions.drop), dtype=np.int64))
    kept = np.flatnonzero(~dropped)
    if not len(kept):
        raise ValueError(f"`dece_decisions: {decisions.path}` drops every row of the training set")
    rows, steps = len(dropped), trainer.args.max_steps
    if len(kept) < rows:
        trainer.train_dataset = trainer.train_dataset.select(kept)
        if steps > 0 and not keep_steps:
            trainer.args.max_steps = math.ceil(steps * len(kept) / rows)
    trusted = int(np.isin(table.all_keys, np.array(sorted(decisions.trust), dtype=np.int64)).sum())
    decisions.counts.update(before=rows, dropped=rows - len(kept), trusted=trusted)
    if planted is not None:
        decisions.counts.update(planted=int(np.sum(planted)), planted_dropped=int(np.sum(np.array(planted)[dropped])))
    said = [
        f"{rows - len(kept)} of {rows} training rows dropped, as decided in {decisions.path}; they are listed in "
        f"{ACCOUNT_FILE}"
    ]
    if trusted:
        said.append(
            f"{trusted} trusted rows train as under cross-entropy; torch's operations compute the loss of this run, "
            "because the Triton kernel has one alpha for a batch"
        )
    return said


def reserve(decisions: Decisions, cfg: Mapping[str, Any]) -> list[str]:
    """What stands between trusted rows and the model; nothing where no row is trusted."""
    if not decisions.counts["trusted"] or cfg["loss"] != "dece" or not cfg["dece_prob_floor"]:
        return []
    return [
        f"with `dece_prob_floor: {cfg['dece_prob_floor']:g}` a trusted row cannot teach a token that the model finds "
        "less likely than that; write `dece_prob_floor: 0` to trust without reserve (docs/audit.md)"
    ]


def check_known(decisions: Decisions, table: RowTable) -> None:
    """Raise ValueError when a decision is about a row that the training set does not hold."""
    decided = decisions.drop | decisions.trust
    unknown = sorted(decided - set(table.keys.tolist()))
    if unknown:
        shown = "; ".join(decisions.name(key) for key in unknown[:_MOST_SHOWN])
        raise ValueError(
            f"`dece_decisions: {decisions.path}`: {len(unknown)} of {len(decided)} rows are not in the training set "
            f"({shown}{'; ...' if len(unknown) > _MOST_SHOWN else ''}). It was made for other data, or the rows, the "
            "prompt template or the tokenizer changed since. Train once with `dece_audit: true` and decide anew"
        )
