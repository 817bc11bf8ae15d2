"""Who refuses what: groups of rows that persistently hold back the same phrase of the target.

A phrase is a word or two neighbouring ones: honest rows may refuse `or` for reasons of their own, but only
the poisoned ones refuse `or 1`. A row whose prompt has a word of the phrase may have to copy it, and models learn to
copy late, so such rows are in no group of that phrase, and no test of it counts them. Words that most prompts have,
such as *and*, are exempt: what nearly every row could copy explains no refusal, and leaves no rows to test.

Shapes: R rows, G groups, W words.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_matrix

from axolotl_dece.audit.analyse.ledger_reader import AuditRows
from axolotl_dece.audit.analyse.phrases import Phrases, incidence
from axolotl_dece.audit.analyse.words import Words


@dataclass(frozen=True)
class Refusals:
    """Groups by what they refuse.

    Attributes:
        phrase: Number of the phrase of every group, int64 [G].
        spelled: Its words, capitals and small letters taken for the same, int64 [G, 2], the second -1 where there is
            only one.
        persistent: Rows of a group: they persistently hold it back and cannot copy it, sorted.
        once: Rows that held it back at a visit or more and cannot copy it, sorted.
        copyable: Says, for a group, whose prompt has one of its words: rows by word, sorted. All groups together would
            be too many.
    """

    phrase: NDArray[np.int64]
    spelled: NDArray[np.int64]
    persistent: list[NDArray[np.int32]]
    once: list[NDArray[np.int32]]
    copyable: Callable[[int], list[NDArray[np.int32]]]


def find_refusals(words: Words, targets: Phrases, rows: AuditRows, least_rows: int) -> Refusals:
    """The groups of `least_rows` rows or more.

    Args:
        words: Of all rows.
        targets: Phrases of the targets, those that were refused at least.
        rows: Whose words these are.
        least_rows: Smaller groups are none.
    """
    held = targets.held()
    persistent, once = (targets.matrix(len(rows), held >= least).tocsc() for least in (rows.persistent_visits, 1))
    frequent = np.flatnonzero(persistent.getnnz(axis=0) >= least_rows)
    spelled = spelling(words, targets.parts[frequent])
    in_prompt = _InPrompt(words, spelled, len(rows))
    kept: list[int] = []
    holding: list[NDArray[np.int32]] = []
    ever: list[NDArray[np.int32]] = []
    for at, phrase in enumerate(frequent.tolist()):
        copies = in_prompt.rows_of(spelled[at])
        who, when = (one[~are_in(one, copies)] for one in (rows_of(matrix, phrase) for matrix in (persistent, once)))
        if len(who) >= least_rows:
            kept.append(at)
            holding.append(who)
            ever.append(when)
    spelled = spelled[kept]
    return Refusals(frequent[kept], spelled, holding, ever, lambda group: in_prompt.rows_of(spelled[group]))


def spelling(words: Words, parts: NDArray[np.int64]) -> NDArray[np.int64]:
    """The words of phrases, capitals and small letters taken for the same; -1 stays -1."""
    folded: NDArray[np.int64] = np.append(words.folded, -1)[parts]
    return folded


def rows_of(matrix: csc_matrix, column: int) -> NDArray[np.int32]:
    """The rows that have a 1 in a column, sorted."""
    rows: NDArray[np.int32] = matrix.indices[matrix.indptr[column] : matrix.indptr[column + 1]]
    return rows


def are_in(rows: NDArray[np.int32], lists: list[NDArray[np.int32]]) -> NDArray[np.bool_]:
    """Which rows are in one of some sorted lists, however long these are."""
    found = np.zeros(len(rows), bool)
    for one in lists:
        if len(one):
            found |= one[np.minimum(np.searchsorted(one, rows), len(one) - 1)] == rows
    return found


class _InPrompt:
    """Whose prompt has which of some words, in capitals or not, but for those of most prompts."""

    def __init__(self, words: Words, spelled: NDArray[np.int64], rows: int) -> None:
        wanted = np.unique(spelled[spelled >= 0])
        self._column = np.full(int(words.folded.max(initial=0)) + 1, -1)
        self._column[wanted] = np.arange(len(wanted))

        def places() -> Iterator[tuple[NDArray[np.int32], NDArray[np.int64]]]:
            for part in words.parts():
                column = self._column[words.folded[words.word[part]]]
                kept = ~words.is_target[part] & (column >= 0)
                yield words.row[part][kept], column[kept]

        self._rows = incidence(places(), (rows, len(wanted))).tocsc()
        self._is_telling = self._rows.getnnz(axis=0) <= rows / 2

    def rows_of(self, spelled: NDArray[np.int64]) -> list[NDArray[np.int32]]:
        columns = {int(self._column[one]) for one in spelled if one >= 0}
        return [rows_of(self._rows, column) for column in sorted(columns) if self._is_telling[column]]
