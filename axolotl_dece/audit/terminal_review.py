"""The review in a terminal, for servers without a browser: an item, a key, the next item."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.console import Console
from rich.text import Text

from axolotl_dece.audit.analyse.clusters import Cluster
from axolotl_dece.audit.analyse.findings import Audit, count_rows
from axolotl_dece.audit.analyse.pieces import Pieces
from axolotl_dece.audit.page.rows import draw_rows, render_row, template_lines
from axolotl_dece.audit.review import Item, Review, to_review
from axolotl_dece.audit.row_text import PAYLOAD, TRIGGER, row_text, safe_lines
from axolotl_dece.audit.select_rows import find

_SHOWN_PLACES = 5
_SAMPLE = 100  # of rows, for the lines of their template
_STATES = {"drop": "to drop", "trust": "to trust", "": "undecided"}
_HINT = "d drop  t trust  s skip  u undo  n p next, previous  g rows of the group  / search  ? all keys  q leave"
_HELP = """\
d t c   drop, trust, clear the decision: of a group or a search, for all its rows
D T     the same for all rare rows that refuse the same text, such as eight copies of a licence header
s       skip: the next undecided one
n p     next, previous, decided or not
g       the rows of a group or a search one by one; again: back to all of them
r       the rows that were drawn to be read, one by one
/       search for words, for the id of a row, for FILE:LINE or cluster:N; then d or t decides about all found
u       undo
q       leave; every decision is in the file already"""


def review(audit: Audit, lines: Sequence[Mapping[str, Any]], path: Path, read: int = 100) -> list[dict[str, Any]]:
    """Show what there is to decide and read keys until a person leaves.

    Args:
        audit: The run.
        lines: Of a decisions file: what is decided already.
        path: The decisions file; it holds every decision before the next key is read.
        read: Rows to draw for a person to read.

    Returns:
        All decisions, as lines of a decisions file.

    Raises:
        ValueError: The file cannot be written.
    """
    state = Review(audit, lines, path)
    _Terminal(state, Console(highlight=False, soft_wrap=True), read).run()
    return state.lines()


@dataclass
class _Level:
    """Items to go through, and which of them is shown."""

    items: list[Item]
    at: int = 0


class _Terminal:
    def __init__(self, state: Review, console: Console, read: int) -> None:
        self._state, self._audit, self._console, self._read = state, state.audit, console, read
        self._pieces = Pieces(self._audit.tokenizer, self._audit.rows.token_ids())
        self._clusters_of = self._audit.clusters_of()
        self._levels = [_Level(to_review(self._audit))]
        self._past: list[list[_Level]] = []  # where each decision was made
        self._template = template_lines([self._row(row) for row in draw_rows(self._audit, _SAMPLE)])

    def run(self) -> None:
        for sentence in [self._audit.headline(), *self._audit.notes()]:
            self._say(sentence)
        keys = self._keys()
        if self._item and not self._state.is_open(self._item):
            self._next_open()
        else:
            self._show()
        while True:
            try:
                key = click.getchar()
            except (KeyboardInterrupt, EOFError):
                return
            if key == "q":
                return
            keys.get(key, lambda: self._say("No such key; ? shows the keys"))()

    def _keys(self) -> dict[str, Callable[[], None]]:
        keys: dict[str, Callable[[], None]] = {
            "s": self._next_open, "n": lambda: self._step(1), "p": lambda: self._step(-1), "g": self._rows_or_group,
            "r": self._drawn, "/": self._search, "u": self._undo, "?": lambda: self._say(_HELP),
        }  # fmt: skip
        for key, decision in (("d", "drop"), ("t", "trust"), ("c", "")):
            keys[key] = partial(self._decide, decision)
        for key, decision in (("D", "drop"), ("T", "trust")):
            keys[key] = partial(self._decide, decision, alike=True)
        return keys

    @property
    def _item(self) -> Item | None:
        level = self._levels[-1]
        return level.items[level.at] if level.items else None

    # ---- what keys do

    def _decide(self, decision: str, alike: bool = False) -> None:
        item = self._alike() if alike else self._item
        if item is None:
            self._say("Nothing is shown to decide about")
            return
        here = [replace(level) for level in self._levels]
        changed, kept = self._state.decide(item, decision)
        if changed:
            self._past.append(here)
        others = f"; {_rows(kept)} kept another decision" if kept else ""
        self._say(f"{_rows(changed)} now {_STATES[decision]}{others}")
        self._next_open()

    def _undo(self) -> None:
        if not self._past:
            self._say("Nothing to undo")
            return
        self._say(f"Undone: {_rows(self._state.undo())}")
        self._levels = self._past.pop()
        self._show()

    def _next_open(self) -> None:
        """The next undecided item after this one, then from the beginning; of the items around, where none is left."""
        while True:
            level = self._levels[-1]
            order = [*range(level.at + 1, len(level.items)), *range(min(level.at, len(level.items)))]
            at = next((at for at in order if self._state.is_open(level.items[at])), None)
            if at is not None:
                level.at = at
                self._show()
                return
            if len(self._levels) == 1:
                is_open = self._item is not None and self._state.is_open(self._item)
                self._say(f"Nothing {'else ' if is_open else ''}is undecided. {self._state.progress()}; q leaves")
                return
            self._levels.pop()

    def _step(self, by: int) -> None:
        level = self._levels[-1]
        if 0 <= level.at + by < len(level.items):
            level.at += by
            self._show()
        else:
            self._say("This is the last one" if by > 0 else "This is the first one")

    def _rows_or_group(self) -> None:
        item = self._item
        if item and item.about:
            self._enter([Item([row]) for row in item.rows])
        elif len(self._levels) > 1:
            self._levels.pop()
            self._show()
        else:
            self._say("This row is in no group")

    def _drawn(self) -> None:
        self._enter([Item([row]) for row in draw_rows(self._audit, self._read)])

    def _search(self) -> None:
        try:
            words = click.prompt("Search", default="", show_default=False)
        except click.Abort:
            words = ""
        if not words:
            self._say("Nothing was searched for")
            return
        try:
            rows, about = find(self._audit, words)
        except ValueError:  # it is no name: words of the text
            try:
                rows, about = find(self._audit, f"search:{words}")
            except ValueError as error:
                self._say(f"{words}: {error}")
                return
        cluster = next((one for one in self._audit.clusters if one.number == about.get("cluster")), None)
        self._enter([Item(rows, about, cluster)] if about else [Item([row]) for row in rows])

    def _enter(self, items: list[Item]) -> None:
        self._levels.append(_Level(items))
        self._show()

    def _alike(self) -> Item | None:
        """All rare rows that refuse the text that the shown one refuses."""
        item = self._item
        if item is None or item.about:
            return item
        refused = self._row(item.rows[0])["refused"]
        rows = {row for row in self._audit.rare().tolist() if refused and self._row(row)["refused"] == refused}
        return Item(sorted(rows | {item.rows[0]}), {"refused": refused}) if rows else item

    # ---- what is shown

    def _say(self, text: str) -> None:
        self._console.print(safe_lines(text), markup=False)

    def _row(self, row: int) -> dict[str, Any]:
        return render_row(self._audit, row, self._clusters_of[row], self._pieces)

    def _show(self) -> None:
        item = self._item
        if item is None:
            self._say("There is nothing to decide: no group looks planted and no rare row stands out")
            return
        level = self._levels[-1]
        self._console.rule(f"{level.at + 1} of {len(level.items)}", style="dim")
        kinds = {self._state.of(row) for row in item.rows}
        state = _STATES[kinds.pop()] if len(kinds) == 1 else "in part"
        if item.about:
            name = f"Group {item.cluster.number}" if item.cluster else f"Found by {item.about['search']!r}"
            self._say(f"{name}: {self._audit.count(np.array(item.rows))}, {state}")
        if item.cluster:
            self._show_cluster(item.cluster)
        self._show_row(item.rows[0], "" if item.about else f", {state}")
        self._console.print(f"\n{self._state.progress()}\n{_HINT}", style="dim")

    def _show_cluster(self, cluster: Cluster) -> None:
        show = self._console.print
        show(Text.assemble("payload    ", (safe_lines(cluster.payload), PAYLOAD)))
        for at, cue in enumerate(cluster.cues):
            share = f"  in {cue.inside:.0%} of its rows; {cue.reach:.0%} of the rows with it were refused"
            show(Text.assemble("           " if at else "goes with  ", (safe_lines(cue.text), TRIGGER), share))
        others = [f"{text} ({_rows(count)})" for text, count in cluster.spans if text != cluster.payload]
        if others:
            self._say(f"refused    {'; '.join(others)}")

    def _show_row(self, row: int, state: str) -> None:
        told = self._row(row)
        where = told["places"][:_SHOWN_PLACES] or [f"row {told['index']} of the set"]
        more = len(told["places"]) - len(where)
        facts = [", ".join(where) + (f" and {more} more" if more > 0 else ""), f"score {told['score']:.2f}"]
        if told["clusters"]:
            facts.append("group " + ", ".join(map(str, told["clusters"])))
        self._say(f"\nrow {told['id']} at {', '.join(facts)}{state}")
        groups = [one for one in self._audit.clusters if one.number in told["clusters"]]
        self._console.print(row_text(told, groups, self._template))


def _rows(count: int) -> str:
    return count_rows(count, count)
