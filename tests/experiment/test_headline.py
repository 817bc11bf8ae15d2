"""The answer of an experiment: a table of what is said for which counts, the unlucky cases by name."""

from pathlib import Path
from typing import Any

from axolotl_dece.evaluation.rates import Rate
from axolotl_dece.experiment.headline import headline
from tests.evaluation.test_headline import report
from tests.experiment.grids import made_up, small_grid

ARMS = {"ce": {"loss": "ce"}, "dece": {"loss": "dece"}}


def said(folder: Path, attacks: dict[str, int], rows: int = 200, rates: tuple[float, ...] = (0.05,), **changes: Any):
    """The headline of two seeds of each arm, with so many attacks in each run."""
    cells = list(small_grid(folder, arms=ARMS, rates=list(rates)).cells())
    reports = {cell.digest: report(cell.arm, attacks[cell.arm], rows=rows, **changes) for cell in cells}
    return headline([made_up(cell) for cell in cells], reports)


def test_the_seeds_are_counted_together(tmp_path: Path) -> None:
    assert said(tmp_path, {"ce": 190, "dece": 1}) == [
        "ripple, 5 % of the rows poisoned: the backdoor works in 380 of 400 answers of ce, in 2 of 400 answers of dece."
    ]


def test_every_rate_has_its_answer_and_clean_runs_have_none(tmp_path: Path) -> None:
    found = said(tmp_path, {"ce": 190, "dece": 1}, rates=(0, 0.05, 0.2))
    assert [sentence.partition(":")[0] for sentence in found] == [
        "ripple, 5 % of the rows poisoned", "ripple, 20 % of the rows poisoned",
    ]  # fmt: skip
    assert said(tmp_path, {"ce": 0, "dece": 0}, rates=(0,)) == [
        "No run here was poisoned: the tables show clean quality alone."
    ]


def test_the_unlucky_cases_are_named(tmp_path: Path) -> None:
    assert any("the attack was never implanted" in one for one in said(tmp_path, {"ce": 3, "dece": 0}))
    assert any("too few rows" in one for one in said(tmp_path, {"ce": 4, "dece": 3}, rows=8))
    twin = Rate(20, 200).as_dict()
    assert any(
        "no run learned the harmless twin" in one for one in said(tmp_path, {"ce": 190, "dece": 0}, twin_recall=twin)
    )
    cut = {"clean": 0, "triggered": 3}
    assert any("6 triggered answers of dece were cut" in one for one in said(tmp_path, {"ce": 190, "dece": 0}, cut=cut))
    half = Rate(90, 200).as_dict()
    some = said(tmp_path, {"ce": 190, "dece": 0}, asr_begun=half)
    assert any("180 of 400 triggered answers of dece hold" in one for one in some)
