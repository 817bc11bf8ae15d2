"""docs/compatibility.md says what the tests say, and what ran on which axolotl."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tests.compatibility import PAGE, render
from tests.ran import COLUMNS, Recorder, read_rows, write_rows


def test_the_page_is_as_new_as_the_tests() -> None:
    assert PAGE.read_text(encoding="utf-8") == render(), "run `python -m tests.compatibility`"


def report(test: str, when: str, outcome: str, *keywords: str, **more: Any) -> Any:
    facts = {"nodeid": test, "when": when, "outcome": outcome, "keywords": keywords, "skipped": outcome == "skipped"}
    return SimpleNamespace(**facts, **more)


def test_a_test_is_recorded_once_with_its_worst_phase_and_its_kind() -> None:
    recorder = Recorder()
    for one in (
        report("a.py::good", "setup", "passed"),
        report("a.py::good", "call", "passed"),
        report("a.py::good", "teardown", "passed"),
        report("a.py::leaks", "call", "passed"),
        report("a.py::leaks", "teardown", "failed"),
        report("a.py::left", "setup", "skipped"),
        report("a.py::two", "call", "skipped", "slow", "distributed", wasxfail="reason"),
    ):
        recorder.pytest_runtest_logreport(one)
    rows = {row["kind"]: [row[name] for name in ("passed", "failed", "skipped", "xfailed")] for row in recorder.rows()}
    assert rows == {"fast": ["1", "1", "1", "0"], "distributed": ["0", "0", "0", "1"]}


def test_a_later_run_of_a_file_takes_the_place_of_the_earlier_one_and_leaves_the_others(tmp_path: Path) -> None:
    one = dict.fromkeys(COLUMNS, "0") | {"axolotl": "0.19.0", "file": "tests/test_compatibility.py"}
    other = one | {"axolotl": "0.21.0"}
    write_rows([one, other, one | {"file": "tests/test_that_is_gone.py"}], tmp_path / "ran.csv")
    write_rows([one | {"passed": "3"}], tmp_path / "ran.csv")
    assert read_rows(tmp_path / "ran.csv") == [one | {"passed": "3"}, other]
