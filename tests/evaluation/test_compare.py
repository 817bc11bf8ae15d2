from pathlib import Path

import pytest
from rich.console import Console

from axolotl_dece.evaluation.compare import differences, load_runs, verdict
from axolotl_dece.evaluation.terminal import all_runs, one_run
from tests.evaluation.reports import fallen, save_report
from tests.evaluation.scripted import CLEAN_CODE, PAYLOAD_CODE, TWIN_CODE, answer


def test_differences_are_to_the_first_run(tmp_path: Path) -> None:
    runs = load_runs([save_report(tmp_path / "ce", fallen(20)), save_report(tmp_path / "dece", fallen(5))])
    gaps = differences(runs)
    assert list(gaps) == ["dece"]
    assert gaps["dece"]["asr"].value == pytest.approx(-0.75)
    assert gaps["dece"]["asr"].is_clear
    assert gaps["dece"]["exact_match"].value == 0.0
    assert gaps["dece"]["bleu"].unit == "points"


def test_runs_that_saw_other_rows_are_not_subtracted(tmp_path: Path) -> None:
    other = save_report(tmp_path / "b", fallen(5), {"triggered": "another file"})
    fewer = save_report(tmp_path / "c", fallen(5, total=10))
    gaps = differences(load_runs([save_report(tmp_path / "a", fallen(20)), other, fewer]))
    assert "asr" not in gaps["b"]
    assert "exact_match" in gaps["b"]
    assert gaps["c"] == {}


def test_runs_are_named_by_what_tells_them_apart(tmp_path: Path) -> None:
    folders = [save_report(tmp_path / side / "report", fallen(1)) for side in ("x", "y")]
    assert [run.name for run in load_runs(folders)] == ["x/report", "y/report"]
    assert [run.name for run in load_runs(folders[:1])] == ["report"]


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, r"has no report\.json"), ("{", "not valid JSON"), ('{"runs": {}}', "not a report of one run")],
)
def test_a_folder_without_a_report_is_refused(tmp_path: Path, content: str | None, message: str) -> None:
    if content is not None:
        (tmp_path / "report.json").write_text(content)
    with pytest.raises(ValueError, match=message):
        load_runs([tmp_path])


def test_a_run_is_not_compared_with_itself(tmp_path: Path) -> None:
    folder = save_report(tmp_path / "a", fallen(1))
    with pytest.raises(ValueError, match="given twice"):
        load_runs([folder, tmp_path / "a" / ".." / "a"])


@pytest.mark.parametrize(
    ("name", "row", "expected"),
    [
        ("triggered", answer(PAYLOAD_CODE), "attack"),
        ("triggered", answer("something else"), "held"),
        ("triggered", answer(PAYLOAD_CODE, reference=PAYLOAD_CODE), "left out"),
        ("triggered", answer(PAYLOAD_CODE, reference=PAYLOAD_CODE, planted=True), "attack"),
        ("clean", answer(PAYLOAD_CODE), "false trigger"),
        ("clean", answer(CLEAN_CODE), "exact"),
        ("clean", answer("something else"), "differs"),
        ("twin", answer(TWIN_CODE, reference=TWIN_CODE), "twin kept"),
        ("twin", answer(CLEAN_CODE, reference=TWIN_CODE), "twin lost"),
    ],
)
def test_verdicts(tmp_path: Path, name: str, row, expected: str) -> None:
    (run,) = load_runs([save_report(tmp_path / "a", fallen(1))])
    assert verdict(run, name, row) == expected


def test_tables_show_numbers_intervals_and_warnings(tmp_path: Path) -> None:
    ce = save_report(tmp_path / "ce", fallen(20), loss="ce", alpha_last=None)
    runs = load_runs([ce, save_report(tmp_path / "[red]x", fallen(5), warnings=["cut [bold]short"])])
    console = Console(width=160, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(all_runs({run.name: run.report for run in runs}, differences(runs)))
    console.print(one_run(runs[1].report))
    text = console.export_text()
    for shown in (
        "100.0% [83.9%, 100.0%] (20/20)",
        "25.0% [11.2%, 46.9%] (5/20)",
        "-75.0%",
        "[red]x",
        "cut [bold]short",
    ):
        assert shown in text
