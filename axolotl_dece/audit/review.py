"""A review under way: what there is to decide, what was decided, and a file that holds it after every step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from axolotl_dece.audit.analyse.clusters import Cluster
from axolotl_dece.audit.analyse.findings import Audit
from axolotl_dece.audit.decisions import write_decisions
from axolotl_dece.audit.select_rows import ABOUT_MANY, find, to_lines


@dataclass(frozen=True)
class Item:
    """What one decision is about: a group, what a search found, or a row by itself.

    Attributes:
        rows: Their numbers.
        about: What the file says beside the decision; nothing for a row by itself.
        cluster: Of a group.
    """

    rows: Sequence[int]
    about: Mapping[str, Any] = field(default_factory=dict)
    cluster: Cluster | None = None


def to_review(audit: Audit) -> list[Item]:
    """The groups, the heaviest first, and then the rare rows one by one: what the page calls decided once it is."""
    groups = [Item(*find(audit, f"cluster:{one.number}"), one) for one in audit.clusters]
    return groups + [Item([row]) for row in audit.rare().tolist()]


class Review:
    """Decisions about rows, by the rules of the page.

    Args:
        audit: The run.
        lines: Of a decisions file: what is decided already.
        path: The decisions file, written whole after every change.
    """

    def __init__(self, audit: Audit, lines: Sequence[Mapping[str, Any]], path: Path) -> None:
        self.audit = audit
        self._path = path
        self._decided = {audit.rows.number_of[line["row"]]: dict(line) for line in lines}
        self._past: list[dict[int, dict[str, Any] | None]] = []
        self._to_decide = {row for item in to_review(audit) for row in item.rows}

    def of(self, row: int) -> str:
        """What was decided of a row: `drop`, `trust` or nothing."""
        return str(self._decided.get(row, {}).get("decision", ""))

    def is_open(self, item: Item) -> bool:
        """Whether something of it is undecided."""
        return any(not self.of(row) for row in item.rows)

    def decide(self, item: Item, decision: str) -> tuple[int, int]:
        """Drop or trust the rows of an item, or take back what was decided of them where `decision` is empty.

        What was decided of a row by itself stands, and no row that is to be dropped becomes trusted because it is
        among many.

        Returns:
            How many rows are decided anew, and how many kept another decision.
        """
        other = [row for row in item.rows if self.of(row) != decision] if item.about else item.rows
        kept = {row for row in other if item.about and decision and self._stands(row, decision)}
        new = {"decision": decision, **item.about} if decision else None
        changes = {row: new for row in other if row not in kept}
        if changes:
            self._past.append({row: self._decided.get(row) for row in changes})
            self._put(changes)
        return len(changes), len(kept)

    def _stands(self, row: int, decision: str) -> bool:
        old = self._decided.get(row)
        if old is None:
            return False
        return not set(ABOUT_MANY).intersection(old) or (decision == "trust" and old["decision"] == "drop")

    def undo(self) -> int:
        """Take back the last decision of this review; of how many rows it was."""
        step = self._past.pop()
        self._put(step)
        return len(step)

    def _put(self, changes: Mapping[int, dict[str, Any] | None]) -> None:
        for row, decided in changes.items():
            if decided is None:
                self._decided.pop(row, None)
            else:
                self._decided[row] = decided
        try:
            if self._decided:
                write_decisions(self._path, self.lines())
            else:
                self._path.unlink(missing_ok=True)  # a run refuses a file that decides nothing
        except OSError as error:
            raise ValueError(f"{self._path} cannot be written, so the last decision is lost: {error}") from error

    def lines(self) -> list[dict[str, Any]]:
        """All decisions, as lines of a decisions file."""
        return to_lines(self.audit, self._decided)

    def progress(self) -> str:
        """How far it has come: `28 of 29 decided; 20 rows, 24 copies to drop; 8 rows to trust`."""
        done = sum(bool(self.of(row)) for row in self._to_decide)
        counts = [
            f"{self.audit.count(np.array([row for row in self._decided if self.of(row) == kind], np.int64))} to {kind}"
            for kind in ("drop", "trust")
        ]
        return "; ".join([f"{done:,} of {len(self._to_decide):,} decided", *counts])
