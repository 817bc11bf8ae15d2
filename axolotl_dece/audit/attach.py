"""One call for the plugin: rows that are dropped, trusted and written down."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from transformers import Trainer

from axolotl_dece.audit.decisions import Decisions
from axolotl_dece.audit.keeper import LedgerKeeper
from axolotl_dece.audit.ledger import Ledger
from axolotl_dece.audit.table import tabulate
from axolotl_dece.audit.watch import RowWatch
from axolotl_dece.loss.objective import Objective


def watch_rows(
    trainer: Trainer,
    objective: Objective,
    epoch: Callable[[], int],
    *,
    decisions: Decisions | None,
    ledger: bool,
    facts: dict[str, Any],
    resume_from: str | None,
) -> LedgerKeeper:
    """What carries out trust and keeps the ledger: its `watch.begin_step` wants every step's micro-batches.

    Args:
        trainer: With the rows that are really trained on.
        objective: Computes the loss.
        epoch: Says which pass over the data is under way.
        decisions: What a person decided, if anything.
        ledger: Whether one is kept.
        facts: What identifies the run.
        resume_from: Checkpoint the run continues from.

    Raises:
        ValueError: The training set is a stream, or not made of tokens with labels.
    """
    table = tabulate(trainer.train_dataset)
    empty = Ledger.empty(table.keys, table.targets) if ledger else None
    watch = RowWatch(objective, empty, sorted(decisions.trust) if decisions else [], epoch)
    return LedgerKeeper(trainer, watch, table, facts, resume_from, decisions)
