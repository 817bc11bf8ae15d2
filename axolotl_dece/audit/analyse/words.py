"""Words of rows as the audit compares them, whatever pieces the tokenizer broke them into.

A tokenizer writes one word in several ways (with and without a blank before it) and breaks rare ones in pieces:
`bb` may be two tokens, and `phone` be `ph` and `one`. Tokens whose letters follow each other without anything between
are put together again, so that a trigger is named whole, and a word copied from the prompt is seen to be a copy.

Rows are read some at a time: beside the words themselves nothing grows with the set.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from axolotl_dece.audit.analyse.ledger_reader import AuditRows
from axolotl_dece.audit.analyse.pieces import Pieces
from axolotl_dece.audit.record.ledger import ranges

_MIX = np.uint64(0x9E3779B97F4A7C15)
_TOKENS_AT_A_TIME = 1_000_000


class Words:
    """The words of a set of rows: U of them, in the order of the text, of W different texts.

    Blanks and special tokens are no words.

    Args:
        rows: Whose tokens, R rows.
        tokenizer: The run's.

    Attributes:
        text: Every different text, without blanks around it, [W].
        folded: Number of every text with capitals and small letters taken for the same, int64 [W].
        word: Number of the text of every word, int32 [U].
        row: Its row, int32 [U].
        begin: Its first token, [U].
        size: How many tokens it has, int32 [U].
        is_target: Whether it is of the target, bool [U].
        held: At how many visits it was held back, the most of its tokens, uint8 [U].
        start: Where the words of a row begin, int64 [R + 1].
    """

    def __init__(self, rows: AuditRows, tokenizer: Any) -> None:
        reader = _Reader(rows, tokenizer)
        parts = [reader.read(begin, end) for begin, end in _parts(rows.start)]
        self.text = sorted(reader.number_of)
        renumbered = np.empty(len(self.text), np.int32)
        renumbered[[reader.number_of[text] for text in self.text]] = np.arange(len(self.text))
        _, self.folded = np.unique([text.casefold() for text in self.text] or [""], return_inverse=True)
        columns: list[NDArray[Any]] = []
        for at in range(6):
            columns.append(np.concatenate([part[at] for part in parts]))
            parts = [(*part[:at], columns[at][:0], *part[at + 1 :]) for part in parts]  # not twice in memory
        columns[0] = renumbered[columns[0]]
        self.word, self.row, self.begin, self.size, self.is_target, self.held = columns
        counts = np.bincount(self.row, minlength=len(rows))
        self.start: NDArray[np.int64] = np.concatenate([[0], np.cumsum(counts)])

    def of_rows(self, rows: NDArray[Any]) -> NDArray[np.int64]:
        """The words of some rows, one row after the other."""
        return ranges(self.start[rows], np.diff(self.start)[rows])

    def tokens_of(self, chosen: NDArray[np.int64]) -> NDArray[np.int64]:
        """The tokens of the `chosen` words."""
        return ranges(self.begin[chosen], self.size[chosen])

    def parts(self) -> Iterator[slice]:
        """The words of whole rows, some at a time."""
        for begin, end in _parts(self.start):
            yield slice(int(self.start[begin]), int(self.start[end]))

    @cached_property
    def of_target(self) -> NDArray[np.int64]:
        """How often every text stands in targets, [W]."""
        counts = np.zeros(len(self.text), np.int64)
        for part in self.parts():
            counts += np.bincount(self.word[part][self.is_target[part]], minlength=len(counts))
        return counts


def _parts(start: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """First row, and the one after the last, of parts of the set."""
    edges = np.searchsorted(start, np.arange(0, start[-1], _TOKENS_AT_A_TIME))
    edges = np.unique(np.append(edges, [0, len(start) - 1]))
    yield from zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)


class _Reader:
    """Finds the words of some rows after those of others, and numbers their texts."""

    def __init__(self, rows: AuditRows, tokenizer: Any) -> None:
        self._rows = rows
        self._places = np.int32 if len(rows.tokens) < 2**31 else np.int64
        ids = rows.token_ids()
        self._pieces = Pieces(tokenizer, ids)
        self._entry_of = np.zeros(max(ids, default=0) + 1, np.int32)
        self._partial = np.zeros(len(self._entry_of), bool)
        self._entries: dict[tuple[str, bool, bool], int] = {}
        for one in ids:
            text = "" if one in self._pieces.special else self._pieces.text[one]
            self._entry_of[one] = self._entry(text, *_edges(text))
        self._partial[list(self._pieces.partial)] = True
        self.number_of: dict[str, int] = {}

    def read(self, begin: int, end: int) -> tuple[NDArray[Any], ...]:
        """word, row, begin, size, is_target and held of the words of some rows."""
        rows = self._rows
        first, last = int(rows.start[begin]), int(rows.start[end])
        is_target, held = rows.is_target[first:last], rows.held[first:last]
        row_of = np.repeat(np.arange(begin, end, dtype=np.int32), np.diff(rows.start[begin : end + 1]))
        if first == last:
            return tuple(np.zeros(0, kind) for kind in (np.int32, np.int32, np.int64, np.int32, bool, np.uint8))
        new_side = np.concatenate([[True], (row_of[1:] != row_of[:-1]) | (is_target[1:] != is_target[:-1])])
        entries = self._read_entries(rows.tokens[first:last], new_side)
        texts = [text for text, _, _ in self._entries]
        opens, closes = (np.array([entry[side] for entry in self._entries]) for side in (1, 2))
        apart = np.concatenate([[True], opens[entries[1:]] | closes[entries[:-1]]]) | new_side
        begins = np.flatnonzero(apart)
        sizes = np.diff(np.append(begins, len(entries)))
        number = self._number(texts, entries, begins, sizes)
        kept = number >= 0
        at, sizes = begins[kept], sizes[kept].astype(np.int32)
        most = np.maximum.reduceat(held, begins)[kept]
        places = (at + first).astype(self._places)
        return number[kept], row_of[at], places, sizes, is_target[at], most

    def _entry(self, text: str, opens: bool, closes: bool) -> int:
        return self._entries.setdefault((text, opens, closes), len(self._entries))

    def _read_entries(self, tokens: NDArray[np.int32], new_side: NDArray[np.bool_]) -> NDArray[np.int32]:
        """What every token reads as; of tokens that are parts of one letter the first is the letter."""
        entries: NDArray[np.int32] = self._entry_of[tokens]
        at = np.flatnonzero(self._partial[tokens])
        if not len(at):
            return entries
        edges = np.flatnonzero(np.concatenate([[True], (np.diff(at) > 1) | new_side[at[1:]]]))
        for begin, end in zip(at[edges].tolist(), (at[np.append(edges[1:], len(at)) - 1] + 1).tolist(), strict=True):
            place = begin
            for text, size in self._pieces.units(tuple(tokens[begin:end].tolist())):
                opens, closes = _edges(text)
                entries[place] = self._entry(text, opens, closes and size == 1)
                entries[place + 1 : place + size] = self._entry("", False, False)
                if size > 1:
                    entries[place + size - 1] = self._entry("", False, closes)
                place += size
        return entries

    def _number(
        self, texts: list[str], entries: NDArray[np.int32], begins: NDArray[np.int64], sizes: NDArray[np.int64]
    ) -> NDArray[np.int32]:
        """Number of the text of every run of tokens, -1 where it has none."""
        within = np.arange(len(entries)) - np.repeat(begins, sizes)
        # wraps around on purpose: a number for every sequence of tokens
        mixed = (entries.astype(np.uint64) + np.uint64(1)) * _MIX ** (within.astype(np.uint64) + np.uint64(1))
        _, first, inverse = np.unique(np.add.reduceat(mixed, begins), return_index=True, return_inverse=True)
        numbers = np.empty(len(first), np.int32)
        for at, run in enumerate(first.tolist()):
            run_entries = entries[begins[run] : begins[run] + sizes[run]].tolist()
            text = "".join(texts[entry] for entry in run_entries).strip()
            numbers[at] = self.number_of.setdefault(text, len(self.number_of)) if text else -1
        found: NDArray[np.int32] = numbers[inverse]
        return found


def _edges(text: str) -> tuple[bool, bool]:
    """Whether a word begins at its first letter, and ends at its last."""
    return not _joins(text[:1]), not _joins(text[-1:])


def _joins(letter: str) -> bool:
    """Whether words go on over it. Scripts without capitals may have no blanks between words; a token is a word."""
    return letter.isdecimal() or letter.lower() != letter.upper()
