"""The span a cluster shares: what was held back, and the words around it that only these rows have.

Once a model has been shown the first word of a payload it knows the rest, so often only that first word is held
back. The span therefore grows over neighbouring words that are as typical of the cluster as the word itself.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from axolotl_dece.audit.analyse.ledger_reader import AuditRows
from axolotl_dece.audit.analyse.words import Words

_TYPICAL = 0.5
_MOST_FORMS = 3
# common words between two typical ones of a payload: ` value + "`
_BRIDGE = 5


def shared_spans(
    members: NDArray[np.int64],
    covered: NDArray[np.int64],
    beside: NDArray[np.int64],
    rows: AuditRows,
    words: Words,
    tokenizer: Any,
) -> tuple[list[tuple[str, int]], str]:
    """Text of the span of every member, the most frequent first, with the number of rows; and of the whole payload.

    Args:
        members: Rows of the cluster.
        covered: Words of theirs that are part of a phrase the cluster holds back.
        beside: The same, or beside such a word in a pair that is held back as well.
        rows: All rows.
        words: Of all rows.
        tokenizer: The run's.
    """
    belongs, is_covered = (np.zeros(len(words.word), bool) for _ in range(2))
    is_covered[covered] = True
    at = words.of_rows(members)
    at = at[words.is_target[at]]
    belongs[at[_is_typical(words.word[at], words)]] = True
    belongs[beside[words.held[beside] > 0]] = True
    forms: tuple[Counter[tuple[int, ...]], ...] = (Counter(), Counter())
    for row in members.tolist():
        at = np.arange(words.start[row], words.start[row + 1])
        for bridge, counted in zip((0, _BRIDGE), forms, strict=True):
            begin, end = _span(at, belongs, is_covered, words.held, bridge)
            last = int(words.begin[end] + words.size[end])
            counted[tuple(rows.tokens[words.begin[begin] : last].tolist())] += 1
    spans, payloads = (
        [(str(tokenizer.decode(list(form))).strip(), count) for form, count in counted.most_common(_MOST_FORMS)]
        for counted in forms
    )
    return spans, payloads[0][0]


def _is_typical(word: NDArray[np.int32], words: Words) -> NDArray[np.bool_]:
    """Which words of a cluster's targets have most of their occurrences in targets there."""
    of_members = np.bincount(word, minlength=len(words.text))
    typical: NDArray[np.bool_] = ((of_members >= 2) & (of_members >= _TYPICAL * words.of_target))[word]
    return typical


def _span(
    at: NDArray[np.int64],
    belongs: NDArray[np.bool_],
    covered: NDArray[np.bool_],
    held: NDArray[np.uint8],
    bridge: int,
) -> tuple[int, int]:
    """First and last word of the row's words `at` that belong together around the first one that was held back.

    Up to `bridge` words between two that belong do not end the span.
    """
    places = at[covered[at]]
    hits = places[held[places] > 0]
    begin = end = int(hits[0] if len(hits) else places[0])
    for place in at[(at < begin) & belongs[at]][::-1].tolist():
        if begin - place > bridge + 1:
            break
        begin = place
    for place in at[(at > end) & belongs[at]].tolist():
        if place - end > bridge + 1:
            break
        end = place
    return begin, end
