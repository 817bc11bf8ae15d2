"""Shares with their uncertainty: a rate without its denominator and interval is not a measurement."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from scipy.stats import binomtest

CONFIDENCE = 0.95


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
        """Wilson's 95 % interval (low, high), 0 to 1."""
        found = binomtest(self.hits, self.total).proportion_ci(CONFIDENCE, method="wilson")
        return float(found.low), float(found.high)

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


def paired_bootstrap(
    first: Sequence[float], second: Sequence[float], *, resamples: int = 10_000, seed: int = 0
) -> Difference:
    """The difference of two means over the same rows (Efron and Tibshirani 1993, ch. 13: percentile interval).

    Args:
        first: One score per row, from one run.
        second: Scores of the other run, for the same rows in the same order.
        resamples: How often the rows are drawn anew, with replacement.
        seed: Seed of the draws.

    Raises:
        ValueError: If the two are of different length, or empty.
    """
    if len(first) != len(second) or not first:
        raise ValueError(f"a paired comparison needs the same rows in both runs, got {len(first)} and {len(second)}")
    gaps = np.asarray(second, dtype=float) - np.asarray(first, dtype=float)
    means = gaps[resampled_rows(len(gaps), resamples, seed)].mean(axis=1)
    return difference_from(float(gaps.mean()), means)


def resampled_rows(rows: int, resamples: int, seed: int) -> np.ndarray[Any, np.dtype[np.intp]]:
    """Row numbers drawn with replacement, shape [resamples, rows]."""
    return np.random.default_rng(seed).integers(0, rows, size=(resamples, rows))


def difference_from(
    value: float, resampled: np.ndarray[Any, np.dtype[np.float64]], unit: Literal["share", "points"] = "share"
) -> Difference:
    """`value` with the percentile interval of its resampled twins."""
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(resampled, [tail, 1 - tail])
    return Difference(value, float(low), float(high), unit)
