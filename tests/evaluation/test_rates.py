import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from axolotl_dece.evaluation.rates import Difference, Rate, paired_bootstrap


def wilson(hits: int, total: int, z: float = 1.959963984540054) -> tuple[float, float]:
    """Wilson 1927, written out."""
    p = hits / total
    centre = (p + z * z / (2 * total)) / (1 + z * z / total)
    half = z / (1 + z * z / total) * math.sqrt(p * (1 - p) / total + z * z / (4 * total * total))
    return centre - half, centre + half


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
    scores = [1.0, 0.0, 1.0, 1.0]
    assert paired_bootstrap(scores, scores) == Difference(0.0, 0.0, 0.0)


def test_bootstrap_interval_agrees_with_the_normal_one_on_many_rows() -> None:
    rng = np.random.default_rng(1)
    first, second = (rng.random(2000) < 0.7).tolist(), (rng.random(2000) < 0.5).tolist()
    found = paired_bootstrap(first, second)
    gaps = np.subtract(second, first, dtype=float)
    half = 1.96 * gaps.std() / math.sqrt(len(gaps))
    assert found.value == pytest.approx(gaps.mean())
    assert (found.low, found.high) == pytest.approx((gaps.mean() - half, gaps.mean() + half), abs=0.003)
    assert found.is_clear


def test_pairing_matters() -> None:
    """The same scores in another order differ by nothing in the mean, but not row by row."""
    first, second = [1.0, 0.0] * 50, [0.0, 1.0] * 50
    assert paired_bootstrap(first, second).high > 0.1
    assert paired_bootstrap(first, first).high == 0.0


@pytest.mark.parametrize(("first", "second"), [([1.0], [1.0, 0.0]), ([], [])])
def test_other_rows_are_not_compared(first: list[float], second: list[float]) -> None:
    with pytest.raises(ValueError, match="same rows"):
        paired_bootstrap(first, second)


def test_points_are_not_shown_as_shares() -> None:
    assert str(Difference(1.5, 0.5, 2.5, "points")) == "+1.50 [+0.50, +2.50]"
    assert str(Difference(0.015, 0.005, 0.025)) == "+1.5% [+0.5%, +2.5%]"
