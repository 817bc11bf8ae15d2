"""Rows that hold back the same thing for the same reason: a span of the target and a word of the prompt.

1. Rows that persistently hold back the same word of the target are a group.
2. A group counts when a word of the prompt (or two neighbours) goes with it beyond chance: `association`.
3. Groups that share that word, or most of their rows, are one cluster: one backdoor writes several words.
   A word that is refused where the prompt already has it is a copy the model has yet to learn, and explains nothing.
4. Its rows are those that have the prompt word and one of the words in their target, refused there or not: a
   backdoor that is half learned is dropped whole.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_matrix

from axolotl_dece.audit.association import Association, associate
from axolotl_dece.audit.features import PromptFeatures, Words, held_words
from axolotl_dece.audit.reading import AuditRows
from axolotl_dece.audit.spans import shared_spans

LEAST_ROWS = 5
_SAME_ROWS = 0.5
_MOST_NAMES = 5
_LETTERS = re.compile(r"\W|_")


@dataclass(frozen=True)
class Cue:
    """A word of the prompt that goes with a cluster, or two neighbouring ones.

    Attributes:
        text: The word.
        inside: Share of the cluster's groups' rows that have it.
        reach: Share of the rows with it in which a word of the cluster was refused, be it once.
    """

    text: str
    inside: float
    reach: float


@dataclass(frozen=True)
class Cluster:
    """Rows that hold back the same span.

    Attributes:
        number: 1 for the heaviest.
        rows: Numbers of its rows, the highest score first.
        span: The shared span of the target, as text, the most frequent form.
        spans: Every form of it with the number of rows, the most frequent first.
        cues: What goes with it in the prompt, the most certain first.
        log10_p: Logarithm of the corrected p-value of the first cue.
        weight: Sum of the scores of its rows, in tokens, of which only the cluster's words count.
    """

    number: int
    rows: NDArray[np.int64]
    span: str
    spans: list[tuple[str, int]]
    cues: list[Cue]
    log10_p: float
    weight: float


@dataclass
class _Draft:
    words: set[int]
    cues: list[Association]
    rows: set[int]


def find_clusters(rows: AuditRows, tokenizer: Any, least_rows: int = LEAST_ROWS) -> list[Cluster]:
    """The clusters of an audited run, the heaviest first.

    Args:
        rows: Of the run.
        tokenizer: The run's.
        least_rows: Fewer rows are no cluster.
    """
    words = Words(rows, tokenizer)
    groups, wider, held = held_words(rows, words, least_rows)
    if not len(held):
        return []
    prompts = PromptFeatures(rows, words, tokenizer)
    found = associate(groups, wider, prompts.matrix)
    groups, columns = groups.tocsc(), prompts.matrix.tocsc()
    drafts = []
    for at, cues in enumerate(found):
        others = [cue for cue in cues if not _is_copy(words.text[held[at]], prompts.name(cue.feature))]
        if others:
            drafts.append(_draft(int(held[at]), others, _rows_of(groups, at), columns))
    clusters = []
    for draft in _merge(drafts):
        members = _members(draft, rows, words, columns)
        if len(members) >= least_rows:
            scores = rows.scores(np.isin(words.word, list(draft.words)))
            members = members[np.argsort(-scores[members], kind="stable")]
            clusters.append(_describe(draft, members, float(scores[members].sum()), rows, words, prompts, tokenizer))
    clusters.sort(key=lambda cluster: -cluster.weight)
    return [replace(cluster, number=number) for number, cluster in enumerate(clusters, start=1)]


def _is_copy(held: str, cue: str) -> bool:
    """Whether the cue is the held-back word itself, up to case and signs, or has it as one of its two words."""
    letters = [_LETTERS.sub("", text).lower() for text in (held, cue, *cue.split())]
    return bool(letters[0]) and letters[0] in letters[1:]


def _rows_of(matrix: csc_matrix, column: int) -> NDArray[np.int64]:
    rows: NDArray[np.int64] = matrix.indices[matrix.indptr[column] : matrix.indptr[column + 1]]
    return rows


def _draft(word: int, cues: list[Association], group: NDArray[np.int64], features: csc_matrix) -> _Draft:
    return _Draft({word}, cues, set(np.intersect1d(group, _rows_of(features, cues[0].feature)).tolist()))


def _merge(drafts: list[_Draft]) -> list[_Draft]:
    """Join drafts until no two share their first cue or most of the rows of the smaller one."""
    merged: list[_Draft] = []
    for draft in sorted(drafts, key=lambda one: -len(one.rows)):
        for other in merged:
            shared = len(draft.rows & other.rows) / len(draft.rows)
            if shared > _SAME_ROWS or draft.cues[0].feature == other.cues[0].feature:
                other.words |= draft.words
                other.rows |= draft.rows
                break
        else:
            merged.append(draft)
    return merged


def _members(draft: _Draft, rows: AuditRows, words: Words, features: csc_matrix) -> NDArray[np.int64]:
    holds = rows.row_of[np.isin(words.word, list(draft.words)) & rows.is_target]
    return np.intersect1d(holds, _rows_of(features, draft.cues[0].feature))


def _describe(
    draft: _Draft,
    members: NDArray[np.int64],
    weight: float,
    rows: AuditRows,
    words: Words,
    prompts: PromptFeatures,
    tokenizer: Any,
) -> Cluster:
    spans = shared_spans(members, draft.words, rows, words, tokenizer)
    cues = [Cue(prompts.name(one.feature), one.inside, one.reach) for one in draft.cues[:_MOST_NAMES]]
    return Cluster(0, members, spans[0][0], spans, cues, draft.cues[0].log_p / math.log(10), weight)
