"""Tables hold what was measured: by hand, and read back from their files."""

import csv
import io
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from axolotl_dece.experiment.heading import heading
from axolotl_dece.experiment.metrics import COLUMNS, METRICS
from axolotl_dece.experiment.results import Spread, by_setting, markdown_table, spreads, write_curves, write_tables
from tests.experiment.grids import made_up, small_grid

BLEUS = [10.0, 30.0, 20.5, 11.25]


def results(folder: Path) -> list[dict[str, object]]:
    cells = list(small_grid(folder, seeds=[0, 1, 2, 3]).cells())
    return [made_up(cell, asr=cell.seed / 4, bleu=BLEUS[cell.seed], twin_recall=None) for cell in cells]


def test_the_interval_is_students() -> None:
    found = Spread.of(BLEUS)
    low, high = stats.t.interval(0.95, len(BLEUS) - 1, loc=np.mean(BLEUS), scale=stats.sem(BLEUS))
    assert (found.mean, found.low, found.high) == pytest.approx((np.mean(BLEUS), low, high))
    assert (found.least, found.most) == (10.0, 30.0)


def test_an_interval_of_shares_stays_between_0_and_1() -> None:
    found = Spread.of([0.0, 1.0, 1.0], is_share=True)
    assert (found.low, found.high) == (0.0, 1.0)


def test_one_seed_has_no_interval() -> None:
    assert Spread.of([0.5]) == Spread((0.5,), 0.5, None, None)


def test_seeds_of_a_setting_come_together_in_the_order_of_the_grid(tmp_path: Path) -> None:
    found = by_setting(results(tmp_path))
    assert [setting.arm for setting in found] == ["ce", "dece linear 0.8"]
    assert [[run["cell"]["seed"] for run in runs] for runs in found.values()] == [[0, 1, 2, 3]] * 2


def test_what_was_not_measured_is_no_number(tmp_path: Path) -> None:
    assert spreads(results(tmp_path))["twin_recall"] is None
    assert "| - |" in markdown_table(results(tmp_path))


def test_a_number_that_older_runs_did_not_count_is_left_empty(tmp_path: Path) -> None:
    old, *others = results(tmp_path)
    del old["metrics"]["asr_begun"]
    found = spreads([old, *others[:3]])["asr_begun"]
    assert found is not None
    assert len(found.values) == 3
    write_tables([old], tmp_path, "## Here")
    (line,) = csv.DictReader(io.StringIO((tmp_path / "results.csv").read_text()))
    assert line["asr_begun"] == ""


def test_files_give_back_what_was_written(tmp_path: Path) -> None:
    some = results(tmp_path)
    write_tables(some, tmp_path, "## Here")
    lines = list(csv.DictReader(io.StringIO((tmp_path / "results.csv").read_text())))
    assert len(lines) == 8
    assert list(lines[0]) == ["arm", "attack", "rate", "seed", *COLUMNS]
    for line, result in zip(lines, some, strict=True):
        assert (line["arm"], int(line["seed"])) == (result["cell"]["arm"], result["cell"]["seed"])  # type: ignore[index]
        kept = {name: float(line[name]) if line[name] else None for name in COLUMNS}
        assert kept == result["metrics"]
    (first, _) = csv.DictReader(io.StringIO((tmp_path / "summary.csv").read_text()))
    assert (first["runs"], first["asr_min"], first["asr_max"]) == ("4", "0.0", "0.75")
    assert float(first["bleu_mean"]) == np.mean(BLEUS)
    assert float(first["bleu_high"]) == Spread.of(BLEUS).high
    assert {f"{name}_{part}" for name in METRICS for part in ("mean", "min", "max", "low", "high")} < set(first)


def test_the_markdown_table_says_mean_and_range(tmp_path: Path) -> None:
    head, rule, first, _ = markdown_table(results(tmp_path)).splitlines()
    assert head.count("|") == rule.count("|") == first.count("|")
    assert "| ripple | 0.05 | ce | 4 | 37.5 % (0.0 to 75.0) | 50.0 % | - | 50.0 % | 17.9 (10.0 to 30.0) |" in first


def test_the_heading_names_every_commit_and_machine(tmp_path: Path) -> None:
    first, second, *_ = results(tmp_path)
    second["made_by"] = {"commit": None, "versions": {}, "machine": "1 core"}
    said = heading("x", "axolotl dece experiment x.yaml", [first, second], date(2026, 1, 2))
    for words in (
        "`x`",
        "    axolotl dece experiment x.yaml",
        "2 runs, 2026-01-02",
        "abc and no checkout",
        "and 1 core",
    ):
        assert words in said


def test_a_look_and_the_loss_of_the_same_step_are_one_line_of_the_curves(tmp_path: Path) -> None:
    some = results(tmp_path)
    entries = [
        {"step": 25, "dece/alpha": 0.99},
        {"step": 50, "dece/alpha": 0.98},
        {"step": 50, "dece/monitor_asr": 0.25, "dece/monitor_clean": 0.5},
    ]
    write_curves(some, {str(some[1]["digest"]): entries}, tmp_path / "curves.csv")
    [line] = csv.DictReader(io.StringIO((tmp_path / "curves.csv").read_text()))
    run = {key: str(some[1]["cell"][key]) for key in ("arm", "attack", "rate", "seed")}  # type: ignore[index]
    look = {"step": "50", "alpha": "0.98", "asr": "0.25", "twin": "", "clean": "0.5"}
    assert list(line.items()) == [*run.items(), *look.items()]


def test_runs_that_nobody_watched_have_no_curves(tmp_path: Path) -> None:
    write_curves(results(tmp_path), {}, tmp_path / "curves.csv")
    assert not (tmp_path / "curves.csv").exists()
