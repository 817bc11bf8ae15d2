"""Words and pairs of neighbouring words, and which row has which: what the audit's tests compare.

Shapes: R rows, P different phrases, N places where one stands.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from axolotl_dece.audit.analyse.words import Words


class Phrases:
    """Every phrase of the prompts, or of the targets.

    Args:
        words: Of the rows.
        of_target: Which side of the rows.

    Attributes:
        parts: The words of every phrase, int64 [P, 2], the second -1 where there is only one.
        phrase: Number of the phrase at every place, int64 [N].
        at: Its first word there, int64 [N].
    """

    def __init__(self, words: Words, of_target: bool) -> None:
        self._words = words
        single = np.flatnonzero(words.is_target == of_target)
        follows = (np.diff(single) == 1) & (words.row[single[:-1]] == words.row[single[1:]])
        pair = single[:-1][follows]
        size = len(words.text) + 1
        codes = np.concatenate([words.word[single] * size, words.word[pair] * size + words.word[pair + 1] + 1])
        self.at = np.concatenate([single, pair])
        known, self.phrase = np.unique(codes, return_inverse=True)
        self.parts = np.stack([known // size, known % size - 1], axis=1)
        self._is_pair = self.parts[self.phrase, 1] >= 0

    def name(self, phrase: int) -> str:
        """The text of a phrase."""
        return " ".join(self._words.text[part] for part in self.parts[phrase] if part >= 0)

    def last(self) -> NDArray[np.int64]:
        """The last word of the phrase at every place, [N]."""
        return self.at + self._is_pair

    def held(self) -> NDArray[np.int32]:
        """At how many visits the phrase was held back at every place, the most of its words, [N]."""
        held: NDArray[np.int32] = np.maximum(self._words.held[self.at], self._words.held[self.last()])
        return held

    def matrix(self, rows: int, chosen: NDArray[np.bool_] | None = None) -> csr_matrix:
        """Which row has which phrase, 0 or 1, [R, P]; only at the `chosen` places, if they are given."""
        places = np.arange(len(self.at)) if chosen is None else np.flatnonzero(chosen)
        return incidence(self._words.row[self.at[places]], self.phrase[places], (rows, len(self.parts)))

    def spelling(self) -> csr_matrix:
        """Which phrase has which word, in capitals or not, 0 or 1, [P, W]; columns are `Words.folded`."""
        phrase, part = np.nonzero(self.parts >= 0)
        folded = self._words.folded
        return incidence(phrase, folded[self.parts[phrase, part]], (len(self.parts), len(folded)))

    def least(self, phrases: set[int]) -> set[int]:
        """Some phrases without the pairs of which a word is among them by itself."""
        single = {int(self.parts[one, 0]) for one in phrases if self.parts[one, 1] < 0}
        return {one for one in phrases if self.parts[one, 1] < 0 or single.isdisjoint(self.parts[one].tolist())}

    def covered(self, phrases: set[int]) -> NDArray[np.bool_]:
        """Which words are part of one of the phrases, [U]."""
        places = np.isin(self.phrase, list(phrases))
        covered = np.zeros(len(self._words.word), bool)
        covered[self.at[places]] = True
        covered[self.last()[places]] = True
        return covered


def incidence(lines: NDArray[np.int64], columns: NDArray[np.int64], shape: tuple[int, int]) -> csr_matrix:
    """1 wherever a line and a column meet, be it several times, and 0 elsewhere, of `shape`."""
    matrix = csr_matrix((np.ones(len(lines), np.int64), (lines, columns)), shape=shape)
    matrix.data[:] = 1
    return matrix
