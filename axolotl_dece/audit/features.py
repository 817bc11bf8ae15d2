"""Words of rows as the audit compares them: tokens by their text, and pairs of neighbouring tokens.

A tokenizer writes one word in several ways (with and without a space before it) and breaks others in two; texts and
pairs make both the same to the tests.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from axolotl_dece.audit.reading import AuditRows


class Words:
    """The token texts of a set of rows.

    Args:
        rows: Whose tokens.
        tokenizer: The run's.

    Attributes:
        text: Text of every word, without blanks around it, [W].
        word: Word of every token, int64 [T]; -1 for blanks and special tokens.
    """

    def __init__(self, rows: AuditRows, tokenizer: Any) -> None:
        ids, places = np.unique(rows.tokens, return_inverse=True)
        special = set(tokenizer.all_special_ids)
        texts = ["" if one in special else str(tokenizer.decode([one])).strip() for one in ids.tolist()]
        self.text = sorted(set(texts) - {""})
        number = {text: at for at, text in enumerate(self.text)}
        self.word: NDArray[np.int64] = np.array([number.get(text, -1) for text in texts], dtype=np.int64)[places]


class PromptFeatures:
    """Which row's prompt has which word, or which two words one after the other.

    Attributes:
        matrix: 0 or 1, [R, F]; words come first.
    """

    def __init__(self, rows: AuditRows, words: Words, tokenizer: Any) -> None:
        self._words = words
        self._tokenizer = tokenizer
        known = (words.word >= 0) & ~rows.is_target
        row_of = rows.row_of
        pair_at = np.flatnonzero(known[:-1] & known[1:] & (row_of[:-1] == row_of[1:]))
        pairs = words.word[pair_at] * len(words.text) + words.word[pair_at + 1]
        _, first, pair_number = np.unique(pairs, return_index=True, return_inverse=True)
        self._pair_tokens = np.stack([rows.tokens[pair_at[first]], rows.tokens[pair_at[first] + 1]], axis=1)
        count = len(words.text) + len(first)
        lines = np.concatenate([row_of[known], row_of[pair_at]])
        columns = np.concatenate([words.word[known], len(words.text) + pair_number])
        self.matrix = csr_matrix((np.ones(len(lines), np.int64), (lines, columns)), shape=(len(rows), count))
        self.matrix.data[:] = 1

    def name(self, feature: int) -> str:
        """The text of a feature."""
        if feature < len(self._words.text):
            return self._words.text[feature]
        return str(self._tokenizer.decode(self._pair_tokens[feature - len(self._words.text)].tolist())).strip()


def held_words(rows: AuditRows, words: Words, least_rows: int) -> tuple[csr_matrix, csr_matrix, NDArray[np.int64]]:
    """Words that `least_rows` rows or more persistently hold back: who does [R, G], who did once [R, G], and which."""
    persistent, once = (_holders(rows, words, is_held) for is_held in (rows.is_held, rows.held > 0))
    frequent = np.flatnonzero(np.asarray(persistent.sum(axis=0)).ravel() >= least_rows)
    return persistent[:, frequent], once[:, frequent], frequent


def _holders(rows: AuditRows, words: Words, is_held: NDArray[np.bool_]) -> csr_matrix:
    at = np.flatnonzero(is_held & (words.word >= 0))
    matrix = csr_matrix((np.ones(len(at), np.int64), (rows.row_of[at], words.word[at])), (len(rows), len(words.text)))
    matrix.data[:] = 1
    return matrix
