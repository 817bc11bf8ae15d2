"""Which word of the prompt goes with being held back: Fisher tests over all pairs, corrected for their number.

Shapes: R rows, G groups of rows, F features of prompts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.stats import hypergeom

SIGNIFICANCE = 0.01
"""Chance of even one false association in a whole audit, if prompts and held-back tokens had nothing to do with
each other."""

LEAST_SHARE = 0.5
"""A trigger is in the prompts of most rows of its group, and most rows with it are in the group."""


@dataclass(frozen=True)
class Association:
    """A feature of prompts that goes with a group of rows.

    Attributes:
        feature: Number of the feature.
        inside: Share of the group's rows that have it.
        reach: Share of the rows with it that are in the group.
        log_p: Natural logarithm of the p-value, corrected for all pairs.
    """

    feature: int
    inside: float
    reach: float
    log_p: float


def associate(groups: csr_matrix, features: csr_matrix) -> list[list[Association]]:
    """For every group the features that go with it, the most certain first.

    The p-value of a pair is Fisher's exact test, one-sided: the chance of so many rows with the feature in the group
    if rows were dealt at random. It is multiplied by the number of all pairs (Bonferroni), tested or not.

    Args:
        groups: Which row is in which group, 0 or 1, [R, G].
        features: Which row has which feature, 0 or 1, [R, F].
    """
    rows, pairs = groups.shape[0], groups.shape[1] * features.shape[1]
    both = (groups.T @ features).tocsr()
    group_sizes = np.asarray(groups.sum(axis=0)).ravel()
    feature_sizes = np.asarray(features.sum(axis=0)).ravel()
    found = []
    for group in range(both.shape[0]):
        part = slice(both.indptr[group], both.indptr[group + 1])
        found.append(
            _of_group(both.indices[part], both.data[part], group_sizes[group], feature_sizes, rows, np.log(pairs))
        )
    return found


def _of_group(
    candidates: NDArray[np.int64],
    counts: NDArray[np.int64],
    group_size: int,
    feature_sizes: NDArray[np.int64],
    rows: int,
    log_pairs: float,
) -> list[Association]:
    sizes = feature_sizes[candidates]
    inside, reach = counts / group_size, counts / sizes
    strong = (inside >= LEAST_SHARE) & (reach >= LEAST_SHARE)
    candidates, counts, sizes = candidates[strong], counts[strong], sizes[strong]
    log_p = np.minimum(hypergeom.logsf(counts - 1, rows, sizes, group_size) + log_pairs, 0.0)
    order = np.lexsort((candidates, log_p))
    return [
        Association(int(candidates[i]), float(inside[strong][i]), float(reach[strong][i]), float(log_p[i]))
        for i in order
        if log_p[i] <= np.log(SIGNIFICANCE)
    ]
