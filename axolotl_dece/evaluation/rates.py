"""Shares and differences with their uncertainty: a rate without its denominator and interval is no measurement."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import NormalDist
from typing import Any, Literal

import numpy as np

CONFIDENCE = 0.95
_Z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
Bools = Sequence[bool] | np.ndarray[Any, np.dtype[np.bool_]]
Table = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True)
class Rate:
    """`hits` of `total`, with a Wilson interval.

    Raises:
        ValueError: If `total` is 0, for 0 of 0 is not 0 %.
    """

    hits: int
    total: int

    def __post_init__(self) -> None:
        if self.total < 1:
            raise ValueError("a rate over 0 rows says nothing; give at least one eligible row")

    @classmethod
    def of(cls, verdicts: Iterable[bool]) -> Rate:
        """The share of true verdicts."""
        counted = [bool(verdict) for verdict in verdicts]
        return cls(sum(counted), len(counted))

    @property
    def value(self) -> float:
        """The share itself, 0 to 1."""
        return self.hits / self.total

    @cached_property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95 % interval (low, high), 0 to 1 (Wilson 1927; written out, for scipy takes a second to import)."""
        n, p = self.total, self.value
        centre = (p + _Z**2 / (2 * n)) / (1 + _Z**2 / n)
        half = _Z / (1 + _Z**2 / n) * math.sqrt(p * (1 - p) / n + _Z**2 / (4 * n**2))
        return max(0.0, centre - half), min(1.0, centre + half)

    def as_dict(self) -> dict[str, float | int]:
        """What a report keeps of it."""
        low, high = self.interval
        return {"value": self.value, "low": low, "high": high, "hits": self.hits, "total": self.total}

    def __str__(self) -> str:
        low, high = self.interval
        return f"{self.value:.1%} [{low:.1%}, {high:.1%}] ({self.hits}/{self.total})"


@dataclass(frozen=True)
class Difference:
    """Second minus first, with a 95 % interval from resampling the rows both runs answered.

    `unit` is `share` for numbers from 0 to 1, `points` for a score such as BLEU.
    """

    value: float
    low: float
    high: float
    unit: Literal["share", "points"] = "share"

    @property
    def is_clear(self) -> bool:
        """Whether the interval leaves out 0."""
        return self.low > 0 or self.high < 0

    def __str__(self) -> str:
        form = "+.1%" if self.unit == "share" else "+.2f"
        return f"{self.value:{form}} [{self.low:{form}}, {self.high:{form}}]"


def paired_share_difference(first: Bools, second: Bools, *, resamples: int = 10_000, seed: int = 0) -> Difference:
    """The difference of two shares over the same rows (Efron and Tibshirani 1993, ch. 13: percentile interval).

    A row can differ in three ways only (lost, alike, won), so rows drawn with replacement are three counts drawn from
    a multinomial: the same distribution, and memory that does not grow with the rows.

    Args:
        first: A verdict per row, from one run.
        second: Verdicts of the other run, for the same rows in the same order.
        resamples: How often the rows are drawn anew.
        seed: Seed of the draws.

    Raises:
        ValueError: If the two are of different length, or empty.
    """
    _check_paired(first, second)
    gaps = np.asarray(second, dtype=np.int8) - np.asarray(first, dtype=np.int8)
    counts = np.array([(gaps == gap).sum() for gap in (-1, 0, 1)])
    drawn = np.random.default_rng(seed).multinomial(len(gaps), counts / len(gaps), size=resamples)
    return _difference(float(gaps.mean()), (drawn[:, 2] - drawn[:, 0]) / len(gaps), "share")


def paired_score_difference(
    first: Table, second: Table, score: Callable[[Any], float], *, resamples: int = 1_000, seed: int = 0
) -> Difference:
    """The difference, in points, of a score that is computed from sums over the rows, such as corpus BLEU.

    One resample at a time is held: how often each row was drawn, and the sums that follow.

    Args:
        first: What one run adds to the sums, shape [rows, numbers].
        second: The same of the other run, for the same rows in the same order.
        score: From the sums to the score.
        resamples: How often the rows are drawn anew.
        seed: Seed of the draws.

    Raises:
        ValueError: If the two are of different length, or empty.
    """
    _check_paired(first, second)
    rng, rows, width = np.random.default_rng(seed), len(first), first.shape[1]
    both = np.hstack((first, second)).astype(float)  # a product of floats is three times as fast, and as exact
    gaps = np.empty(resamples)
    for place in range(resamples):
        sums = np.bincount(rng.integers(0, rows, rows), minlength=rows).astype(float) @ both
        gaps[place] = score(sums[width:]) - score(sums[:width])
    return _difference(score(second.sum(axis=0)) - score(first.sum(axis=0)), gaps, "points")


def _check_paired(first: Any, second: Any) -> None:
    if len(first) != len(second) or not len(first):
        raise ValueError(f"a paired comparison needs the same rows in both runs, got {len(first)} and {len(second)}")


def _difference(value: float, resampled: Any, unit: Literal["share", "points"]) -> Difference:
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(resampled, [tail, 1 - tail])
    return Difference(value, float(low), float(high), unit)
