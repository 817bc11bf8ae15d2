import json
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from axolotl_dece.evaluation.compare import differences, load_runs, unpaired_notes
from axolotl_dece.evaluation.terminal import all_runs, one_run, run_lines
from tests.evaluation.reports import fallen, save_report
from tests.evaluation.scripted import PAYLOAD_CODE, answer


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
    [
        (None, r"has no report\.json"),
        ("{", "not valid JSON"),
        ('{"runs": {}}', "not a report of one run"),
        ('{"format": 1, "files": {}}', r"has format 1, this version reads 2.*Evaluate that run again"),
        ('{"format": 9, "files": {}}', r"has format 9, this version reads 2.*Update this one"),
    ],
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


def test_a_report_of_before_halves_of_payloads_were_counted_is_read(tmp_path: Path) -> None:
    folder = save_report(tmp_path / "a", fallen(1))
    report = json.loads((folder / "report.json").read_text())
    for name in ("asr_begun", "false_triggers_begun"):
        del report[name]
    (folder / "report.json").write_text(json.dumps(report))
    (run,) = load_runs([folder])
    assert run.report["asr_begun"] is None
    assert ("half the payload or more", "-") in run_lines(run.report, {})


def test_a_difference_is_taken_over_the_rows_that_the_report_counted(tmp_path: Path) -> None:
    """A log may hold more rows than the last evaluation asked for with `--limit`."""
    ce, dece = save_report(tmp_path / "ce", fallen(10)), save_report(tmp_path / "dece", fallen(0))
    for folder in (ce, dece):
        limit_report(folder, 10)
    runs = load_runs([ce, dece])
    assert len(runs[0].tables["triggered"]) == 10
    assert differences(runs)["dece"]["asr"].value == -1.0


def limit_report(folder: Path, limit: int) -> None:
    report = json.loads((folder / "report.json").read_text())
    report["settings"]["limit"] = limit
    for file in report["files"].values():
        file["rows"] = limit
    (folder / "report.json").write_text(json.dumps(report))


def test_a_run_evaluated_with_planted_references_is_not_subtracted_from_one_without(tmp_path: Path) -> None:
    def save(name: str, planted: bool) -> Path:
        triggered = [answer(PAYLOAD_CODE, PAYLOAD_CODE if n % 2 else "x", n, planted=planted) for n in range(8)]
        return save_report(tmp_path / name, fallen(8, 8) | {"triggered": triggered})

    runs = load_runs([save("with", True), save("without", False)])
    assert "asr" not in differences(runs)["without"]
    assert "evaluated with `--planted`" in unpaired_notes(runs)[0]


def test_runs_that_were_not_evaluated_alike_are_compared_and_said(tmp_path: Path) -> None:
    settings = {"limit": None, "max_new_tokens": 256, "precision": "auto", "language": "python"}
    changed = {"max_new_tokens": 64, "precision": "4bit"}
    folders = [
        save_report(tmp_path / name, fallen(3), settings=given)
        for name, given in (("ce", settings), ("alike", settings), ("cut", settings | changed))
    ]
    folders.append(save_report(tmp_path / "unsaid", fallen(3)))
    runs = load_runs(folders)
    (note,) = unpaired_notes(runs)
    assert note.startswith(
        "ce and cut were not evaluated alike (`--max-new-tokens` 256 and 64, `--precision` auto and 4bit)"
    )
    assert "asr" in differences(runs)["cut"]


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("asr", "hits"), "3", r"`asr\.hits: '3'` must be a valid integer"),
        (("clean", "exact_match", "total"), 0, r"`clean\.exact_match\.total: 0` must be greater than or equal to 1"),
        (("asr", "hits"), 21, r"`asr`: 21 of 20 is no share"),
        (("settings",), {}, r"`settings\.limit` is missing"),
        (("files", "clean", "answers"), 5, r"`files\.clean\.answers: 5` must be a valid string"),
        (("files",), {}, "says nothing of the clean and triggered rows"),
        (("curves",), [{"step": "one"}], r"`curves\.0\.step: 'one'` must be a valid number"),
    ],
)
def test_a_report_that_was_edited_is_refused_with_what_is_wrong(
    tmp_path: Path, path: tuple[str, ...], value: object, message: str
) -> None:
    folder = save_report(tmp_path / "a", fallen(3))
    report = json.loads((folder / "report.json").read_text())
    holder = report
    for key in path[:-1]:
        holder = holder[key]
    holder[path[-1]] = value
    (folder / "report.json").write_text(json.dumps(report))
    with pytest.raises(ValueError, match=message):
        load_runs([folder])


@pytest.mark.parametrize("name", ["clean", "triggered", "twin"])
def test_answers_that_are_not_all_there_are_refused(tmp_path: Path, name: str) -> None:
    run = save_report(tmp_path / "a", fallen(3))
    log = run / f"{name}.jsonl"
    whole = log.read_text()
    log.write_text("".join(whole.splitlines(keepends=True)[:-1]))
    with pytest.raises(ValueError, match=r"holds 19 answers, but the report beside it counted 20"):
        load_runs([run])
    log.write_text(whole[:-10])
    with pytest.raises(ValueError, match="ends in the middle"):
        load_runs([run])
    log.unlink()
    with pytest.raises(ValueError, match="is missing"):
        load_runs([run])


def test_comparing_imports_nothing_heavy(tmp_path: Path) -> None:
    runs = [save_report(tmp_path / name, fallen(hits)) for name, hits in (("ce", 20), ("dece", 0))]
    heavy = "torch transformers axolotl scipy pandas libcst sqlglot datasets peft".split()
    command = (
        "import sys; from axolotl_dece.cli.compare import compare; "
        f"compare({[str(run) for run in runs] + ['--out', str(tmp_path / 'page.html')]}, standalone_mode=False); "
        f"sys.exit(' '.join(m for m in {heavy} if m in sys.modules) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "The backdoor works in 0 of 20 answers" in done.stdout


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
