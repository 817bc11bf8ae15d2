"""Which phrase of the prompt goes with being held back: Fisher tests over all pairs, corrected for their number.

Shapes: R rows, G groups of rows, F features of prompts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_matrix, csr_matrix
from scipy.stats import binom, hypergeom

from axolotl_dece.audit.analyse.refusals import Refusals, are_in, rows_of

SIGNIFICANCE = 0.01
"""Chance of even one false association in a whole audit, if prompts and held-back tokens had nothing to do with
each other."""

MOST_BY_LUCK = 0.05
"""A trigger is in the prompts of most rows of its group, and in most rows with it the group's phrase was refused, be it
once; a topic and its vocabulary do not imply each other so. Chance at most that half would look like that most."""


@dataclass(frozen=True)
class Association:
    """A feature of prompts that goes with a group of rows.

    Attributes:
        feature: Number of the feature.
        inside: Share of the group's rows that have it.
        reach: Share of the rows with it in which a phrase that goes with it was refused at least once.
        log_p: Natural logarithm of the p-value, corrected for all pairs.
    """

    feature: int
    inside: float
    reach: float
    log_p: float


def associate(
    refusals: Refusals, features: csr_matrix, spelled: NDArray[np.int64], different: int
) -> list[list[Association]]:
    """For every group the features that go with it, the most certain first.

    The p-value of a pair is Fisher's exact test, one-sided, among the rows that could not copy the group's phrase: the
    chance of so many rows with the feature in the group if those rows were dealt at random. It is multiplied by the
    number of all pairs (Bonferroni), tested or not. A feature that has a word of the group's phrase itself stands for
    copying it, and goes with no such group. A feature may call for several phrases; together they must be refused in
    most of the rows with it.

    Args:
        refusals: The groups.
        features: Which row has which feature, 0 or 1, [R, F].
        spelled: The words of every feature, as `Refusals.spelled` has those of groups, [F, 2].
        different: How many features there are, with those that are too rare to be tested.
    """
    groups, columns = range(len(refusals.phrase)), features.tocsc()
    log_pairs = math.log(max(len(groups), 1) * max(different, 1))
    test = _Test(refusals, features, columns, spelled, log_pairs)
    found = [test.of_group(group) for group in groups]
    groups_of: dict[int, list[int]] = {}
    for group in groups:
        for feature in found[group]:
            groups_of.setdefault(feature, []).append(group)
    reach = {feature: _reach(refusals, them, rows_of(columns, feature)) for feature, them in groups_of.items()}
    return [
        sorted(
            (
                Association(feature, inside, share, log_p)
                for feature, (inside, log_p) in found[group].items()
                if (share := reach[feature]) > 0
            ),
            key=lambda one: (one.log_p, one.feature),
        )
        for group in groups
    ]


@dataclass
class _Test:
    """Of a group's rows against all features."""

    refusals: Refusals
    features: csr_matrix
    columns: csc_matrix
    spelled: NDArray[np.int64]
    log_pairs: float

    def __post_init__(self) -> None:
        self._is_copy = np.zeros(self.features.shape[0], bool)
        self._having = self.columns.getnnz(axis=0)

    def of_group(self, group: int) -> dict[int, tuple[float, float]]:
        """Features of most of a group's rows, beyond chance: share of the rows, and corrected log p."""
        members = self.refusals.persistent[group]
        which, counts = np.unique(self.features[members].indices, return_counts=True)
        words = self.refusals.spelled[group]
        is_echo = np.isin(self.spelled[which], words[words >= 0]).any(axis=1)
        # what all rows have, such as the prompt template, is of all groups and tells none of them
        common = _are_most(counts, len(members)) & ~is_echo & (self._having[which] < self.features.shape[0])
        which, counts = which[common], counts[common]
        if not len(which):
            return {}
        copies, copied = self._copied(group, which)
        population, with_feature = self.features.shape[0] - copies, self._having[which] - copied
        log_p = hypergeom.logsf(counts - 1, population, with_feature, len(members)) + self.log_pairs
        return {
            int(which[at]): (float(counts[at] / len(members)), float(log_p[at]))
            for at in np.flatnonzero(log_p <= math.log(SIGNIFICANCE))
        }

    def _copied(self, group: int, which: NDArray[np.int32]) -> tuple[int, NDArray[np.int64]]:
        """How many rows may copy the group's phrase, and how many of them have each feature."""
        lists = self.refusals.copyable(group)
        for rows in lists:
            self._is_copy[rows] = True
        copied = [np.count_nonzero(self._is_copy[rows_of(self.columns, int(one))]) for one in which]
        copies = int(np.count_nonzero(self._is_copy))
        for rows in lists:
            self._is_copy[rows] = False
        return copies, np.array(copied, np.int64)


def _reach(refusals: Refusals, groups: list[int], rows: NDArray[np.int32]) -> float:
    """Share of some rows in which a group's phrase was refused, 0 unless it is most; copies count for nothing."""
    reached, copied = np.zeros(len(rows), bool), np.zeros(len(rows), np.int64)
    for group in groups:
        reached |= are_in(rows, [refusals.once[group]])
        copied += are_in(rows, refusals.copyable(group))
    count, of = int(reached.sum()), int((copied < len(groups)).sum())
    return count / of if _are_most(np.array(count), of) else 0.0


def _are_most(counts: NDArray[np.int64], of: NDArray[np.int64] | int) -> NDArray[np.bool_]:
    """Whether more than half are so, beyond luck: a one-sided sign test."""
    are_most: NDArray[np.bool_] = binom.sf(counts - 1, of, 0.5) <= MOST_BY_LUCK
    return are_most
