"""The ledger of a finished run as a person reads it: rows with words, scores and what was held back in them.

The score of a row counts the target tokens that were persistently held back: at two visits or more, each time while
most of the row was learned; where no row was seen twice, at one. Each counts by the share of visits at which it was, so
that a score of 2 means "the loss refused two tokens of this row throughout", and a token that was learned late still
counts by how long it took.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from axolotl_dece.audit import LEDGER_FILE
from axolotl_dece.audit.record.ledger_file import flat, open_ledger, read_columns, refuse_misfit
from axolotl_dece.audit.row_id import key_to_id
from axolotl_dece.run_reader import is_made_by, read_run

_TOKENS_AT_A_TIME = 1_000_000


@dataclass(frozen=True)
class AuditRows:
    """R rows, with T tokens and N target tokens together.

    Attributes:
        ids: Id of every row.
        index: Its place in the training set, int64 [R].
        copies: How often it occurs there, int64 [R].
        visits: How often it was seen, int32 [R].
        start: Where the tokens of a row begin, int64 [R + 1].
        tokens: int32 [T].
        is_target: bool [T].
        held: At how many visits each token was held back while its row was learned, uint8 [T], 0 off target.
        shares: Withheld share at the first and the last two visits, float16 [3, T], 0 off target.
        facts: About the run.
    """

    ids: list[str]
    index: NDArray[np.int64]
    copies: NDArray[np.int64]
    visits: NDArray[np.int32]
    start: NDArray[np.int64]
    tokens: NDArray[np.int32]
    is_target: NDArray[np.bool_]
    held: NDArray[np.uint8]
    shares: NDArray[np.float16]
    facts: dict[str, Any]

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def number_of(self) -> dict[str, int]:
        """Number of every row by its id."""
        return {row_id: at for at, row_id in enumerate(self.ids)}

    @property
    def row_of(self) -> NDArray[np.int64]:
        """Row of every token, int32 [T]."""
        return np.repeat(np.arange(len(self), dtype=np.int32), np.diff(self.start))

    @cached_property
    def persistent_visits(self) -> int:
        """At how many visits or more a token has to be held back to count: two, one where no row was seen twice."""
        return 2 if int(self.visits.max(initial=0)) > 1 else 1

    @property
    def is_held(self) -> NDArray[np.bool_]:
        """Which tokens were persistently held back, [T]."""
        return self.held >= self.persistent_visits

    @property
    def is_opening(self) -> NDArray[np.bool_]:
        """Which target tokens are the first after a prompt, [T]."""
        opening = np.zeros(len(self.tokens), bool)
        opening[1:] = self.is_target[1:] & ~self.is_target[:-1]
        opening[self.start[:-1][np.diff(self.start) > 0]] = False
        return opening

    def token_ids(self) -> list[int]:
        """The different tokens, sorted."""
        present = np.zeros(int(self.tokens.max(initial=0)) + 1, bool)
        for begin in range(0, len(self.tokens), _TOKENS_AT_A_TIME):
            present[self.tokens[begin : begin + _TOKENS_AT_A_TIME]] = True
        ids: list[int] = np.flatnonzero(present).tolist()
        return ids

    def scores(self, of: NDArray[np.int64] | None = None) -> NDArray[np.float64]:
        """Score of every row, in tokens, [R]; of some tokens only, if they are given."""
        at = np.flatnonzero(self.is_held) if of is None else of[self.held[of] >= self.persistent_visits]
        row = np.searchsorted(self.start, at, side="right") - 1
        weight = self.held[at] / np.maximum(self.visits, 1)[row]
        scores: NDArray[np.float64] = np.bincount(row, weights=weight, minlength=len(self)).astype(np.float64)
        return scores


def read_audit(folder: Path) -> AuditRows:
    """The ledger beside the weights in `folder`.

    Raises:
        ValueError: There is none, it is broken, or it belongs to another run than the weights.
    """
    columns, facts = open_ledger(folder / LEDGER_FILE)
    if "input_ids" not in columns:
        raise ValueError(f"{folder / LEDGER_FILE} is not the ledger of a finished run")
    _check_run(folder, facts)
    return read_rows_of_ledger(folder / LEDGER_FILE, facts)


def _check_run(folder: Path, facts: dict[str, Any]) -> None:
    """Raise ValueError when the ledger is of another run than the record beside it, such as a later one of its config.

    A ledger is written when its run ends, so a run that did not end has none.
    """
    run = read_run(folder)
    if run is None:
        return
    if run["config_digest"] != facts["config_digest"] or not is_made_by(run, facts):
        why = "was made by another run"
    elif run.get("status") == "running" or run.get("step") != facts.get("steps", run.get("step")):
        why = f"is older than the run in this folder, which stopped at step {run.get('step')} before it had a ledger"
    else:
        return
    raise ValueError(
        f"{folder / LEDGER_FILE} {why}, so it says nothing of the weights beside it. Let that run go on to its end "
        "with `dece_audit: true`, or give the folder of the audited run"
    )


def read_rows_of_ledger(path: Path, facts: dict[str, Any]) -> AuditRows:
    """The rows of a ledger with tokens, whose facts were read already; ValueError where it is broken."""
    # column by column: all at once would be in memory twice
    is_target = flat(read_columns(path, "is_target"), "is_target")
    targets = int(is_target.sum())

    def of_targets(name: str) -> NDArray[Any]:
        found = flat(read_columns(path, name), name)
        refuse_misfit(path, name, len(found), targets)
        return found

    shares = np.zeros((3, len(is_target)), np.float16)
    for at, name in enumerate(("first", "previous", "last")):
        shares[at, is_target] = (np.arange(256, dtype=np.float16) / 255)[of_targets(name)]
    held = np.zeros(len(is_target), np.uint8)
    held[is_target] = of_targets("held")
    ids = read_columns(path, "input_ids")
    lengths = np.concatenate([chunk.value_lengths().to_numpy() for chunk in ids.column("input_ids").chunks])
    tokens = flat(ids, "input_ids")
    del ids
    refuse_misfit(path, "is_target", len(is_target), len(tokens))
    refuse_misfit(path, "input_ids", len(tokens), int(lengths.sum()))
    rows = read_columns(path, "key", "index", "copies", "visits")
    return AuditRows(
        ids=[key_to_id(key) for key in rows.column("key").to_pylist()],
        index=rows.column("index").to_numpy(),
        copies=rows.column("copies").to_numpy(),
        visits=rows.column("visits").to_numpy(),
        start=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        tokens=tokens,
        is_target=is_target,
        held=held,
        shares=shares,
        facts=facts,
    )
