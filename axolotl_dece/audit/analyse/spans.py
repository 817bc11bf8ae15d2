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
    covered: NDArray[np.bool_],
    beside: NDArray[np.bool_],
    rows: AuditRows,
    words: Words,
    tokenizer: Any,
) -> tuple[list[tuple[str, int]], str]:
    """Text of the span of every member, the most frequent first, with the number of rows; and of the whole payload.

    Args:
        members: Rows of the cluster.
        covered: Which words are part of a phrase the cluster holds back, [U].
        beside: The same, or beside such a word in a pair that is held back as well, [U].
        rows: All rows.
        words: Of all rows.
        tokenizer: The run's.
    """
    belongs = (_is_typical(members, len(rows), words) | beside & (words.held > 0)) & words.is_target
    covered, held = covered & words.is_target, words.held > 0
    forms: tuple[Counter[tuple[int, ...]], ...] = (Counter(), Counter())
    for row in members.tolist():
        at = np.arange(*np.searchsorted(words.row, (row, row + 1)))
        for bridge, counted in zip((0, _BRIDGE), forms, strict=True):
            begin, end = _span(at, belongs, covered, held, bridge)
            counted[tuple(rows.tokens[words.begin[begin] : words.end[end]].tolist())] += 1
    spans, payloads = (
        [(str(tokenizer.decode(list(form))).strip(), count) for form, count in counted.most_common(_MOST_FORMS)]
        for counted in forms
    )
    return spans, payloads[0][0]


def _is_typical(members: NDArray[np.int64], rows: int, words: Words) -> NDArray[np.bool_]:
    """Words most of whose occurrences in targets are in the cluster, [U]."""
    is_member = np.zeros(rows, bool)
    is_member[members] = True
    count = len(words.text)
    of_target = np.bincount(words.word[words.is_target], minlength=count)
    of_members = np.bincount(words.word[words.is_target & is_member[words.row]], minlength=count)
    return ((of_members >= 2) & (of_members >= _TYPICAL * of_target))[words.word]


def _span(
    at: NDArray[np.int64],
    belongs: NDArray[np.bool_],
    covered: NDArray[np.bool_],
    held: NDArray[np.bool_],
    bridge: int,
) -> tuple[int, int]:
    """First and last word of the row's words `at` that belong together around the first one that was held back.

    Up to `bridge` words between two that belong do not end the span.
    """
    places = at[covered[at]]
    hits = places[held[places]]
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
