"""Words and pairs of neighbouring words, and which row has which: what the audit's tests compare.

Shapes: R rows, U words, P different phrases, N places where one stands, F features.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from axolotl_dece.audit.analyse.words import Words

_LEAST_ROWS = 5
_CODES_AT_A_TIME = 4_000_000


class Phrases:
    """Phrases of the targets, where they have a chosen word.

    Args:
        words: Of the rows.
        chosen: Some words of targets, bool [U]; all, if not given.

    Attributes:
        parts: The words of every phrase, int64 [P, 2], the second -1 where there is only one.
        phrase: Number of the phrase at every place, int64 [N].
        at: Its first word there, int64 [N].
    """

    def __init__(self, words: Words, chosen: NDArray[np.bool_] | None = None) -> None:
        self._words = words
        chosen = words.is_target if chosen is None else chosen & words.is_target
        single = np.flatnonzero(chosen)
        first = np.union1d(single, single - 1)
        first = first[(first >= 0) & (first + 1 < len(words.word))]
        pair = first[(words.row[first] == words.row[first + 1]) & words.is_target[first] & words.is_target[first + 1]]
        codes = np.concatenate([_code(words, words.word[single]), _code(words, words.word[pair], words.word[pair + 1])])
        self.at = np.concatenate([single, pair])
        known, self.phrase = np.unique(codes, return_inverse=True)
        self.parts = _parts(words, known)
        self._is_pair = self.parts[self.phrase, 1] >= 0

    def name(self, phrase: int) -> str:
        """The text of a phrase."""
        return name(self._words, self.parts[phrase])

    def held(self) -> NDArray[np.uint8]:
        """At how many visits the phrase was held back at every place, the most of its words, [N]."""
        held: NDArray[np.uint8] = np.maximum(self._words.held[self.at], self._words.held[self.at + self._is_pair])
        return held

    def matrix(self, rows: int, chosen: NDArray[np.bool_]) -> csr_matrix:
        """Which row has which phrase at the `chosen` places, 0 or 1, [R, P]."""
        at = self.at[chosen]
        return incidence([(self._words.row[at], self.phrase[chosen])], (rows, len(self.parts)))

    def least(self, phrases: set[int]) -> set[int]:
        """Some phrases without the pairs of which a word is among them by itself."""
        single = {int(self.parts[one, 0]) for one in phrases if self.parts[one, 1] < 0}
        return {one for one in phrases if self.parts[one, 1] < 0 or single.isdisjoint(self.parts[one].tolist())}

    def covered(self, phrases: set[int], at: NDArray[np.int64]) -> NDArray[np.int64]:
        """Which of the words `at`, whole rows one after the other, are part of one of the phrases, refused or not."""
        words, wanted = self._words, np.array(sorted(phrases))
        at = at[words.is_target[at]]
        follows = (np.diff(at) == 1) & (words.row[at[1:]] == words.row[at[:-1]])
        codes = _code(words, *(self.parts[wanted].T))
        single = at[np.isin(_code(words, words.word[at]), codes)]
        pair = at[:-1][follows]
        pair = pair[np.isin(_code(words, words.word[pair], words.word[pair + 1]), codes)]
        found: NDArray[np.int64] = np.unique(np.concatenate([single, pair, pair + 1]))
        return found


class Features:
    """Phrases of the prompts that may go with a group: those that stand in prompts often enough to be most of one.

    Args:
        words: Of the rows.
        rows: R.
        least: Rarer phrases are left out, but counted.

    Attributes:
        parts: The words of every feature, int64 [F, 2], the second -1 where there is only one.
        matrix: Which row has which, 0 or 1, [R, F].
        different: How many different phrases the prompts have, rare ones too.
    """

    def __init__(self, words: Words, rows: int, least: int = _LEAST_ROWS) -> None:
        self._words = words
        counts = np.zeros(len(words.text), np.int64)
        for part in words.parts():
            counts += np.bincount(words.word[part][~words.is_target[part]], minlength=len(counts))
        singles = _code(words, np.flatnonzero(counts >= least))
        pairs, different = _frequent(np.concatenate([np.zeros(0, np.int64), *_pair_codes(words)]), least)
        self.different = int((counts > 0).sum()) + different
        self._codes = np.sort(np.concatenate([singles, pairs]))
        self.parts = _parts(words, self._codes)
        self.matrix = incidence(self._places(), (rows, len(self._codes)))

    def name(self, feature: int) -> str:
        """The text of a feature."""
        return name(self._words, self.parts[feature])

    def _places(self) -> Iterator[tuple[NDArray[np.int32], NDArray[np.int64]]]:
        words = self._words
        for part in words.parts():
            single, pair = _prompt_places(words, part)
            at = np.concatenate([single, pair])
            codes = [_code(words, words.word[single]), _code(words, words.word[pair], words.word[pair + 1])]
            wanted = np.concatenate(codes)
            found = np.searchsorted(self._codes, wanted)
            is_known = np.append(self._codes, -1)[found] == wanted
            yield words.row[at[is_known]], found[is_known]


def incidence(parts: Iterable[tuple[NDArray[Any], NDArray[Any]]], shape: tuple[int, int]) -> csr_matrix:
    """1 wherever a line and a column meet, be it several times, and 0 elsewhere, of `shape`.

    Args:
        parts: Lines and columns; no line is in two parts, and those of a later part come later.
        shape: Lines and columns there are.
    """
    counts = np.zeros(shape[0] + 1, np.int64)
    columns = [np.zeros(0, np.int32)]
    for line, column in parts:
        codes = np.unique(line.astype(np.int64) * shape[1] + column)
        at, count = np.unique(codes // max(shape[1], 1), return_counts=True)
        counts[at + 1] += count
        columns.append((codes % max(shape[1], 1)).astype(np.int32))
    indices = np.concatenate(columns)
    return csr_matrix((np.ones(len(indices), np.int8), indices, np.cumsum(counts)), shape=shape)


def name(words: Words, parts: NDArray[np.int64]) -> str:
    """The text of a phrase of these words."""
    return " ".join(words.text[part] for part in parts if part >= 0)


def _code(words: Words, first: NDArray[Any], second: NDArray[Any] | None = None) -> NDArray[np.int64]:
    """A number for every word, or pair of words; of a pair without a second word, -1, that of the first."""
    codes: NDArray[np.int64] = first.astype(np.int64) * (len(words.text) + 1)
    return codes if second is None else codes + second + 1


def _parts(words: Words, codes: NDArray[np.int64]) -> NDArray[np.int64]:
    size = len(words.text) + 1
    return np.stack([codes // size, codes % size - 1], axis=1)


def _prompt_places(words: Words, part: slice) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Words of prompts, and those of them that another one follows, in some rows."""
    single = part.start + np.flatnonzero(~words.is_target[part])
    follows = (np.diff(single) == 1) & (words.row[single[:-1]] == words.row[single[1:]])
    return single, single[:-1][follows]


def _pair_codes(words: Words) -> Iterator[NDArray[np.int64]]:
    for part in words.parts():
        _, pair = _prompt_places(words, part)
        yield _code(words, words.word[pair], words.word[pair + 1])


def _frequent(codes: NDArray[np.int64], least: int) -> tuple[NDArray[np.int64], int]:
    """Codes that occur so often, sorted, and how many different ones there are."""
    codes.sort()
    found, different = [np.zeros(0, np.int64)], 0
    begin = 0
    while begin < len(codes):
        # a part ends where a code ends
        end = int(np.searchsorted(codes, codes[min(begin + _CODES_AT_A_TIME, len(codes)) - 1], side="right"))
        known, counts = np.unique(codes[begin:end], return_counts=True)
        found.append(known[counts >= least])
        different += len(known)
        begin = end
    return np.concatenate(found), different
