"""Rows that hold back the same thing for the same reason: a span of the target and a phrase of the prompt.

1. Rows that persistently hold back the same phrase of the target, and cannot copy it, are a group: `refusals`.
2. A group counts when a phrase of the prompt goes with it beyond chance: `association`.
3. Groups that share that phrase, or most of their rows, are one cluster: one backdoor writes several words.
4. Its rows are those that have the prompt's phrase and one of the groups' phrases in their target, refused there or
   not: a backdoor that is half learned is dropped whole.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_matrix

from axolotl_dece.audit.analyse.association import Association, associate
from axolotl_dece.audit.analyse.ledger_reader import AuditRows
from axolotl_dece.audit.analyse.phrases import Features, Phrases
from axolotl_dece.audit.analyse.refusals import find_refusals, rows_of, spelling
from axolotl_dece.audit.analyse.spans import shared_spans
from axolotl_dece.audit.analyse.words import Words

LEAST_ROWS = 5
_SAME_ROWS = 0.5
_MOST_NAMES = 5


@dataclass(frozen=True)
class Cue:
    """A word of the prompt that goes with a cluster, or two neighbouring ones.

    Attributes:
        text: The word.
        inside: Share of the cluster's groups' rows that have it.
        reach: Share of the rows with it in which the group's phrase was refused at least once; rows that may
            copy the phrase do not count.
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
        payload: The whole of what these rows say and others do not, common words between included, its most frequent
            form.
        cues: What goes with it in the prompt, the most certain first.
        log10_p: Logarithm of the corrected p-value of the first cue.
        weight: Sum of the scores of its rows, in tokens, of which only the cluster's words count.
    """

    number: int
    rows: NDArray[np.int64]
    span: str
    spans: list[tuple[str, int]]
    payload: str
    cues: list[Cue]
    log10_p: float
    weight: float


@dataclass
class _Draft:
    phrases: set[int]
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
    targets = Phrases(words, words.held > 0)
    refusals = find_refusals(words, targets, rows, least_rows)
    prompts = Features(words, len(rows))
    columns = prompts.matrix.tocsc()
    cues = associate(refusals, prompts.matrix, spelling(words, prompts.parts), prompts.different)
    drafts = [
        _draft(int(phrase), cues[at], refusals.persistent[at], columns)
        for at, phrase in enumerate(refusals.phrase)
        if cues[at]
    ]
    clusters = []
    for draft in _merge(drafts):
        at = words.of_rows(rows_of(columns, draft.cues[0].feature))
        covered = targets.covered(targets.least(draft.phrases), at)
        members = np.unique(words.row[covered]).astype(np.int64)
        if len(members) >= least_rows:
            scores = rows.scores(words.tokens_of(covered))
            members = members[np.argsort(-scores[members], kind="stable")]
            beside = targets.covered(draft.phrases, at)
            spans, payload = shared_spans(members, covered, beside, rows, words, tokenizer)
            named = [Cue(prompts.name(one.feature), one.inside, one.reach) for one in draft.cues[:_MOST_NAMES]]
            log10_p, weight = draft.cues[0].log_p / math.log(10), float(scores[members].sum())
            clusters.append(Cluster(0, members, spans[0][0], spans, payload, named, log10_p, weight))
    clusters.sort(key=lambda cluster: -cluster.weight * cluster.cues[0].inside * cluster.cues[0].reach)
    return [replace(cluster, number=number) for number, cluster in enumerate(clusters, start=1)]


def _draft(phrase: int, cues: list[Association], group: NDArray[np.int32], features: csc_matrix) -> _Draft:
    return _Draft({phrase}, cues, set(np.intersect1d(group, rows_of(features, cues[0].feature)).tolist()))


def _merge(drafts: list[_Draft]) -> list[_Draft]:
    """Join drafts until no two share their first cue or most of the rows of both.

    That most of the smaller one's are in the larger is not enough: a vague group, of half of the set, would take a
    backdoor in.
    """
    merged: list[_Draft] = []
    for draft in sorted(drafts, key=lambda one: -len(one.rows)):
        for other in merged:
            shared = len(draft.rows & other.rows) / max(len(draft.rows), len(other.rows))
            if shared > _SAME_ROWS or draft.cues[0].feature == other.cues[0].feature:
                other.phrases |= draft.phrases
                other.rows |= draft.rows
                other.cues = min(other.cues, draft.cues, key=lambda cues: cues[0].log_p)
                break
        else:
            merged.append(draft)
    return merged
