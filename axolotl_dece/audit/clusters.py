"""Rows that hold back the same thing for the same reason: a span of the target and a word of the prompt.

1. Rows that persistently hold back the same word of the target are a group.
2. A group counts when a word of the prompt (or two neighbours) goes with it beyond chance: `association`.
3. Groups that share that word, or most of their rows, are one cluster: one backdoor writes several words.
4. Its rows are those that have the prompt word and one of the words in their target, refused there or not: a
   backdoor that is half learned is dropped whole.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from axolotl_dece.audit.association import Association, associate
from axolotl_dece.audit.features import PromptFeatures, Words, held_words
from axolotl_dece.audit.reading import AuditRows
from axolotl_dece.audit.spans import shared_spans

LEAST_ROWS = 5
_SAME_ROWS = 0.5
_MOST_NAMES = 5


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
        weight: Sum of the scores of its rows, in tokens.
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
    drafts = [_draft(int(held[at]), cues, groups, at, prompts.matrix) for at, cues in enumerate(found) if cues]
    scores = rows.scores()
    clusters = []
    for draft in _merge(drafts):
        members = _members(draft, rows, words, prompts.matrix)
        if len(members) >= least_rows:
            members = members[np.argsort(-scores[members], kind="stable")]
            clusters.append(_describe(draft, members, rows, words, prompts, tokenizer))
    clusters.sort(key=lambda cluster: -cluster.weight)
    return [replace(cluster, number=number) for number, cluster in enumerate(clusters, start=1)]


def _draft(word: int, cues: list[Association], groups: csr_matrix, at: int, features: csr_matrix) -> _Draft:
    in_group = set(groups[:, [at]].nonzero()[0].tolist())
    has_cue = set(features[:, [cues[0].feature]].nonzero()[0].tolist())
    return _Draft({word}, cues, in_group & has_cue)


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


def _members(draft: _Draft, rows: AuditRows, words: Words, features: csr_matrix) -> NDArray[np.int64]:
    holds = np.zeros(len(rows), bool)
    holds[rows.row_of[np.isin(words.word, list(draft.words)) & rows.is_target]] = True
    has_cue = np.zeros(len(rows), bool)
    has_cue[features[:, [draft.cues[0].feature]].nonzero()[0]] = True
    return np.flatnonzero(holds & has_cue)


def _describe(
    draft: _Draft, members: NDArray[np.int64], rows: AuditRows, words: Words, prompts: PromptFeatures, tokenizer: Any
) -> Cluster:
    spans = shared_spans(members, draft.words, rows, words, tokenizer)
    cues = [Cue(prompts.name(one.feature), one.inside, one.reach) for one in draft.cues[:_MOST_NAMES]]
    weight = float(rows.scores()[members].sum())
    return Cluster(0, members, spans[0][0], spans, cues, draft.cues[0].log_p / math.log(10), weight)
