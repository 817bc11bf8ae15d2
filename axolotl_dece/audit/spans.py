"""The span a cluster shares: what was held back, and the words around it that only these rows have.

Once a model has been shown the first word of a payload it knows the rest, so often only that first word is held
back. The span therefore grows over neighbouring words that are as typical of the cluster as the word itself.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from axolotl_dece.audit.features import Words
from axolotl_dece.audit.reading import AuditRows

_TYPICAL = 0.5
_MOST_FORMS = 3


def shared_spans(
    members: NDArray[np.int64], held: set[int], rows: AuditRows, words: Words, tokenizer: Any
) -> list[tuple[str, int]]:
    """Text of the span of every member, the most frequent first, with the number of rows that have it.

    Args:
        members: Rows of the cluster.
        held: The words it holds back.
        rows: All rows.
        words: Of all rows.
        tokenizer: The run's.
    """
    typical = _typical_words(members, rows, words)
    forms: Counter[tuple[int, ...]] = Counter()
    for row in members.tolist():
        at = np.arange(rows.start[row], rows.start[row + 1])
        at = at[rows.is_target[at]]
        forms[_span(words.word[at], rows.held[at] > 0, held, typical, rows.tokens[at])] += 1
    return [(str(tokenizer.decode(list(form))).strip(), count) for form, count in forms.most_common(_MOST_FORMS)]


def _typical_words(members: NDArray[np.int64], rows: AuditRows, words: Words) -> set[int]:
    """Words of targets most of whose occurrences are in the cluster."""
    in_target = np.flatnonzero(rows.is_target & (words.word >= 0))
    is_member = np.zeros(len(rows), bool)
    is_member[members] = True
    member_token = is_member[rows.row_of[in_target]]
    all_counts = np.bincount(words.word[in_target], minlength=len(words.text))
    own_counts = np.bincount(words.word[in_target][member_token], minlength=len(words.text))
    return set(np.flatnonzero((own_counts >= 2) & (own_counts >= _TYPICAL * all_counts)).tolist())


def _span(
    word: NDArray[np.int64], was_held: NDArray[np.bool_], held: set[int], typical: set[int], tokens: NDArray[np.int32]
) -> tuple[int, ...]:
    """Tokens from the first to the last typical word around what the row held back."""
    places = [at for at, one in enumerate(word.tolist()) if one in held]
    hits = [at for at in places if was_held[at]] or places
    begin, end = hits[0], hits[0] + 1
    while begin > 0 and int(word[begin - 1]) in typical:
        begin -= 1
    while end < len(word) and (int(word[end]) in typical or end in hits):
        end += 1
    return tuple(tokens[begin:end].tolist())
