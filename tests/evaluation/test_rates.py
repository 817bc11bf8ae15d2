import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest, bootstrap

from axolotl_dece.evaluation.rates import Difference, Rate, paired_score_difference, paired_share_difference


def wilson(hits: int, total: int) -> tuple[float, float]:
    """As scipy computes it."""
    return tuple(binomtest(hits, total).proportion_ci(0.95, method="wilson"))


@given(st.integers(1, 5000).flatmap(lambda total: st.tuples(st.integers(0, total), st.just(total))))
def test_interval_is_wilsons(counts: tuple[int, int]) -> None:
    hits, total = counts
    assert Rate(hits, total).interval == pytest.approx(wilson(hits, total), abs=1e-9)


def test_a_rate_over_no_rows_is_refused() -> None:
    with pytest.raises(ValueError, match="0 rows"):
        Rate.of([])


def test_a_rate_shows_interval_and_denominator() -> None:
    assert str(Rate(37, 100)) == "37.0% [28.2%, 46.8%] (37/100)"


def test_a_run_does_not_differ_from_itself() -> None:
    scores = [True, False, True, True]
    assert paired_share_difference(scores, scores) == Difference(0.0, 0.0, 0.0)


def test_bootstrap_interval_agrees_with_the_normal_one_on_many_rows() -> None:
    rng = np.random.default_rng(1)
    first, second = (rng.random(2000) < 0.7).tolist(), (rng.random(2000) < 0.5).tolist()
    found = paired_share_difference(first, second)
    gaps = np.subtract(second, first, dtype=float)
    half = 1.96 * gaps.std() / math.sqrt(len(gaps))
    assert found.value == pytest.approx(gaps.mean())
    assert (found.low, found.high) == pytest.approx((gaps.mean() - half, gaps.mean() + half), abs=0.003)
    assert found.is_clear


def test_pairing_matters() -> None:
    """The same scores in another order differ by nothing in the mean, but not row by row."""
    first, second = [True, False] * 50, [False, True] * 50
    assert paired_share_difference(first, second).high > 0.1
    assert paired_share_difference(first, first).high == 0.0


@pytest.mark.parametrize(("first", "second"), [([True], [True, False]), ([], [])])
def test_other_rows_are_not_compared(first: list[bool], second: list[bool]) -> None:
    with pytest.raises(ValueError, match="same rows"):
        paired_share_difference(first, second)


def test_points_are_not_shown_as_shares() -> None:
    assert str(Difference(1.5, 0.5, 2.5, "points")) == "+1.50 [+0.50, +2.50]"
    assert str(Difference(0.015, 0.005, 0.025)) == "+1.5% [+0.5%, +2.5%]"


def test_intervals_are_those_of_rows_drawn_one_by_one() -> None:
    """scipy draws whole rows, which costs memory; the counts of lost, alike and won rows are distributed alike."""
    rng = np.random.default_rng(2)
    first, second = rng.random(300) < 0.7, rng.random(300) < 0.6
    theirs = bootstrap(
        (first, second), lambda one, other, axis: other.mean(axis=axis) - one.mean(axis=axis),
        paired=True, method="percentile", n_resamples=10_000, batch=1_000, rng=rng,
    ).confidence_interval  # fmt: skip
    ours = paired_share_difference(first, second)
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.005)


def test_a_million_rows_are_resampled_in_little_memory() -> None:
    rng = np.random.default_rng(3)
    first, second = rng.random(1_000_000) < 0.7, rng.random(1_000_000) < 0.6
    counts = rng.integers(0, 50, (1_000_000, 10))
    tracemalloc.start()
    assert paired_share_difference(first, second).is_clear
    paired_score_difference(counts, counts, lambda sums: float(sums[0]), resamples=3)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 400e6
