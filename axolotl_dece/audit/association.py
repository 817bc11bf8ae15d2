"""Which word of the prompt goes with being held back: Fisher tests over all pairs, corrected for their number.

Shapes: R rows, G groups of rows, F features of prompts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix
from scipy.stats import hypergeom

SIGNIFICANCE = 0.01
"""Chance of even one false association in a whole audit, if prompts and held-back tokens had nothing to do with
each other."""

LEAST_SHARE = 0.5
"""A trigger is in the prompts of most rows of its group, and of most rows with it the group's word was refused, be it
once. A topic and its vocabulary do not imply each other so."""


@dataclass(frozen=True)
class Association:
    """A feature of prompts that goes with a group of rows.

    Attributes:
        feature: Number of the feature.
        inside: Share of the group's rows that have it.
        reach: Share of the rows with it that could be in the group.
        log_p: Natural logarithm of the p-value, corrected for all pairs.
    """

    feature: int
    inside: float
    reach: float
    log_p: float


def associate(groups: csr_matrix, wider: csr_matrix, features: csr_matrix) -> list[list[Association]]:
    """For every group the features that go with it, the most certain first.

    The p-value of a pair is Fisher's exact test, one-sided: the chance of so many rows with the feature in the group
    if rows were dealt at random. It is multiplied by the number of all pairs (Bonferroni), tested or not.

    Args:
        groups: Which row is in which group, 0 or 1, [R, G].
        wider: The same by weaker evidence, for `reach`, [R, G].
        features: Which row has which feature, 0 or 1, [R, F].
    """
    rows, log_pairs = groups.shape[0], math.log(groups.shape[1] * features.shape[1])
    both, reached = (groups.T @ features).tocsr(), (wider.T @ features).tocsr()
    group_sizes, feature_sizes = (np.asarray(one.sum(axis=0)).ravel() for one in (groups, features))
    found = []
    for group in range(both.shape[0]):
        part = slice(both.indptr[group], both.indptr[group + 1])
        common = both.data[part] >= LEAST_SHARE * group_sizes[group]
        which, counts = both.indices[part][common], both.data[part][common]
        inside = counts / group_sizes[group]
        reach = reached[group].toarray().ravel()[which] / feature_sizes[which]
        log_p = hypergeom.logsf(counts - 1, rows, feature_sizes[which], group_sizes[group]) + log_pairs
        chosen = (reach >= LEAST_SHARE) & (log_p <= math.log(SIGNIFICANCE))
        order = np.lexsort((which, log_p))
        found.append(
            [
                Association(int(which[at]), float(inside[at]), float(reach[at]), float(log_p[at]))
                for at in order[chosen[order]]
            ]
        )
    return found
