"""Words of rows as the audit compares them, whatever pieces the tokenizer broke them into.

A tokenizer writes one word in several ways (with and without a blank before it) and breaks rare ones in pieces:
`bb` may be two tokens, and `phone` be `ph` and `one`. Tokens whose letters follow each other without anything between
are put together again, so that a trigger is named whole, and a word copied from the prompt is seen to be a copy.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from axolotl_dece.audit.analyse.ledger_reader import AuditRows

_MIX = np.uint64(0x9E3779B97F4A7C15)


class Words:
    """The words of a set of rows: U of them, in the order of the text, of W different texts.

    Blanks and special tokens are no words.

    Args:
        rows: Whose tokens.
        tokenizer: The run's.

    Attributes:
        text: Every different text, without blanks around it, [W].
        folded: Number of every text with capitals and small letters taken for the same, int64 [W].
        word: Number of the text of every word, int64 [U].
        row: Its row, int64 [U].
        begin, end: Its first token, and the one after its last, int64 [U].
        is_target: Whether it is of the target, bool [U].
        held: At how many visits it was held back, the most of its tokens, int32 [U].
    """

    def __init__(self, rows: AuditRows, tokenizer: Any) -> None:
        ids, places = np.unique(rows.tokens, return_inverse=True)
        pieces = _pieces(ids.tolist(), tokenizer)
        row_of = rows.row_of
        begins = _begins(pieces, places, row_of, rows.is_target)
        ends = np.append(begins[1:], len(rows.tokens))
        texts, number = _texts(pieces, places, begins, ends)
        is_word = np.array([bool(text) for text in texts])[number]
        self.text = sorted(set(texts) - {""})
        _, self.folded = np.unique([text.casefold() for text in self.text] or [""], return_inverse=True)
        sorted_number = {text: at for at, text in enumerate(self.text)}
        renumbered = np.array([sorted_number.get(text, -1) for text in texts], dtype=np.int64)
        self.word: NDArray[np.int64] = renumbered[number][is_word]
        self.begin, self.end = begins[is_word], ends[is_word]
        self.row: NDArray[np.int64] = row_of[self.begin]
        self.is_target: NDArray[np.bool_] = rows.is_target[self.begin]
        self.held: NDArray[np.int32] = np.maximum.reduceat(rows.held, begins)[is_word]

    def tokens_of(self, chosen: NDArray[np.bool_], count: int) -> NDArray[np.bool_]:
        """Which of `count` tokens belong to the `chosen` words [U]."""
        steps = np.zeros(count + 1, np.int64)
        steps[self.begin[chosen]] += 1
        np.subtract.at(steps, self.end[chosen], 1)
        return np.cumsum(steps[:-1]) > 0


def _pieces(ids: list[int], tokenizer: Any) -> list[str]:
    """Text of each token as it stands behind a letter, with its blanks; of special ones nothing."""
    special = set(tokenizer.all_special_ids)
    alone = ["" if one in special else str(tokenizer.decode([one])) for one in ids]
    anchor = next((one for one, text in zip(ids, alone, strict=True) if text.strip().isalpha()), None)
    if anchor is None:
        return alone
    before = str(tokenizer.decode([anchor]))
    behind = [str(tokenizer.decode([anchor, one])) if text else before for one, text in zip(ids, alone, strict=True)]
    return [
        both.removeprefix(before) if both.startswith(before) else text for both, text in zip(behind, alone, strict=True)
    ]


def _begins(
    pieces: list[str], places: NDArray[np.int64], row_of: NDArray[np.int64], is_target: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """First token of every word, blank or special piece."""
    opens = np.array([not _joins(piece[:1]) for piece in pieces])[places]
    closes = np.array([not _joins(piece[-1:]) for piece in pieces])[places]
    apart = opens[1:] | closes[:-1] | (row_of[1:] != row_of[:-1]) | (is_target[1:] != is_target[:-1])
    return np.flatnonzero(np.concatenate([[True], apart]))


def _joins(letter: str) -> bool:
    """Whether words go on over it. Scripts without capitals may have no blanks between words; a token is a word."""
    return letter.isdecimal() or letter.lower() != letter.upper()


def _texts(
    pieces: list[str], places: NDArray[np.int64], begins: NDArray[np.int64], ends: NDArray[np.int64]
) -> tuple[list[str], NDArray[np.int64]]:
    """Texts of runs of tokens, some of them twice, and which one each run has."""
    within = np.arange(len(places)) - np.repeat(begins, ends - begins)
    # wraps around on purpose: a number for every sequence of tokens
    mixed = (places.astype(np.uint64) + np.uint64(1)) * _MIX ** (within.astype(np.uint64) + np.uint64(1))
    _, first, number = np.unique(np.add.reduceat(mixed, begins), return_index=True, return_inverse=True)
    texts = ["".join(pieces[place] for place in places[begins[run] : ends[run]]).strip() for run in first.tolist()]
    return texts, number
