"""Long commands say how far they are: with bars in a terminal, with a line now and then in a file."""

from __future__ import annotations

import sys
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import pytest

from axolotl_dece.cli.progress import AnswerBar, AnswerLines, RunBars, RunLines, progress_of_answers, progress_of_runs
from axolotl_dece.experiment.pool import Failure, Job


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def stderr(monkeypatch: pytest.MonkeyPatch) -> Callable[[type[StringIO]], StringIO]:
    def put(kind: type[StringIO]) -> StringIO:
        stream = kind()
        monkeypatch.setattr(sys, "stderr", stream)
        return stream

    return put


def test_every_tenth_of_the_answers_is_a_line_in_a_file(stderr: Callable[[type[StringIO]], StringIO]) -> None:
    file = stderr(StringIO)
    with progress_of_answers() as progress:
        assert isinstance(progress, AnswerLines)
        progress.begin("clean", 200)
        for _ in range(200):
            progress.advance(1, 5)
        progress.begin("triggered", 0)
    lines = file.getvalue().splitlines()
    assert lines[:2] == ["loading the model", "clean: 200 rows to ask"]
    assert [line.split(",")[0] for line in lines[2:-1]] == [f"clean: {n} of 200 rows" for n in range(20, 201, 20)]
    assert all("tokens/s" in line for line in lines[2:-1])
    assert "\x1b" not in file.getvalue()


def job(number: int, work: str = "run_cell") -> Job:
    return Job(f"run {number} [a]", work, (), Path("nowhere.log"))


def test_every_run_is_a_line_in_a_file_and_what_failed_stays(stderr: Callable[[type[StringIO]], StringIO]) -> None:
    file = stderr(StringIO)
    with progress_of_runs() as progress:
        assert isinstance(progress, RunLines)
        progress.begin(4, 1)
        progress.running([job(0, "prepare")])
        progress.done(job(0, "prepare"), None)
        for number in (1, 2, 3):
            progress.running([job(number)])
            progress.running([job(number)])
            progress.done(job(number), Failure(job(number), 9) if number == 2 else None)
    lines = [line for line in file.getvalue().splitlines() if line]
    assert lines == [
        "1 of 4 runs are finished already",
        "started: run 0 [a]",
        "started: run 1 [a]",
        "2 of 4 runs done, 0:00:00 left",
        "started: run 2 [a]",
        "failed (exit status 9): run 2 [a], nowhere.log",
        "3 of 4 runs done, 0:00:00 left",
        "started: run 3 [a]",
        "4 of 4 runs done, 0:00:00 left",
    ]


def test_a_terminal_has_bars(stderr: Callable[[type[StringIO]], StringIO], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    screen = stderr(Terminal)
    with progress_of_answers() as answers:
        assert isinstance(answers, AnswerBar)
        answers.begin("clean", 10)
        answers.advance(10, 50)
    with progress_of_runs() as runs:
        assert isinstance(runs, RunBars)
        runs.begin(2, 0)
        runs.running([job(1)])
        runs.done(job(1), None)
    for said in ("10/10", "1/2", "\x1b"):
        assert said in screen.getvalue()
