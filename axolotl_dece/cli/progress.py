"""How far a command has come: bars in a terminal, lines in a file."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from axolotl_dece.cli.output import progress_console
from axolotl_dece.experiment.pool import read_steps
from axolotl_dece.util.terminal import shown

if TYPE_CHECKING:
    from rich.console import Console

    from axolotl_dece.experiment.pool import Failure, Job

_LINES = 10


@contextmanager
def progress_of_answers() -> Iterator[AnswerBar | AnswerLines]:
    """What `evaluation.evaluate` calls its progress, shown on stderr as long as the block runs."""
    console = progress_console()
    if not console.is_terminal:
        yield AnswerLines(console)
        return
    columns = (TextColumn("{task.description:>9}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, TextColumn("{task.fields[speed]}"), console=console) as bars:
        yield AnswerBar(bars)


@contextmanager
def progress_of_runs() -> Iterator[RunBars | RunLines]:
    """What `experiment.run` calls its listener, shown on stderr as long as the block runs."""
    console = progress_console()
    if not console.is_terminal:
        yield RunLines(console)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[left]}"))
    with Progress(*columns, console=console) as bars:
        yield RunBars(console, bars)


class AnswerBar:
    """A bar for every set, with time left and tokens per second."""

    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._task = bars.add_task("loading", total=None, speed="")
        self._speed = Speed()

    def begin(self, name: str, rows: int) -> None:
        """Start a bar for the set `name`."""
        if not self._speed.tokens:
            self._bars.update(self._task, visible=False)
        self._speed = Speed()
        self._task = self._bars.add_task(name, total=rows, speed="")

    def advance(self, rows: int, tokens: int) -> None:
        """Move the bar."""
        self._speed.tokens += tokens
        self._bars.update(self._task, advance=rows, speed=str(self._speed))


class AnswerLines:
    """A line for every tenth of a set."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._say("loading the model")

    def begin(self, name: str, rows: int) -> None:
        """Start with the set `name`."""
        self._name, self._rows, self._done, self._speed = name, rows, 0, Speed()
        self._say(f"{name}: {rows} rows to ask")

    def advance(self, rows: int, tokens: int) -> None:
        """Say how far it is, where another tenth is done."""
        before = self._done * _LINES // self._rows
        self._done += rows
        self._speed.tokens += tokens
        if self._done * _LINES // self._rows > before:
            self._say(f"{self._name}: {self._done} of {self._rows} rows, {self._speed}")

    def _say(self, text: str) -> None:
        self._console.print(text, soft_wrap=True, markup=False, highlight=False)


class Speed:
    """Tokens per second since it was made."""

    def __init__(self) -> None:
        self.tokens = 0
        self._began = time.monotonic()

    def __str__(self) -> str:
        return f"{self.tokens / max(time.monotonic() - self._began, 1e-9):,.0f} tokens/s"


class _Count:
    """Counts the finished runs of an experiment and says what went wrong with the others."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._total = self._finished = self._done = 0
        self._began = time.monotonic()

    def begin(self, total: int, finished: int) -> None:
        """`total` runs, of which `finished` were finished before."""
        self._total, self._finished = total, finished
        if finished:
            self._say(f"{finished} of {total} runs are finished already")

    def done(self, job: Job, failure: Failure | None) -> None:
        """Count a run; what failed is said and stays to be read."""
        if failure:
            self._say(f"[red]failed[/] (exit status {failure.code}): {shown(job.name)}, {shown(str(job.log))}")
            self._console.print(failure.last_lines, markup=False, highlight=False)
        if job.work != "run_cell":
            # the clock starts with the first run
            self._began = time.monotonic()
        else:
            self._done += 1

    @property
    def _come_to(self) -> int:
        return self._finished + self._done

    def _left(self) -> str:
        seconds = (time.monotonic() - self._began) / self._done * (self._total - self._come_to)
        minutes, rest = divmod(round(seconds), 60)
        return f"{minutes // 60}:{minutes % 60:02}:{rest:02} left"

    def _say(self, text: str) -> None:
        self._console.print(text, soft_wrap=True, highlight=False)


class RunBars(_Count):
    """A bar over all runs, and one for each that is running."""

    def __init__(self, console: Console, bars: Progress) -> None:
        super().__init__(console)
        self._bars = bars
        self._lines: dict[str, TaskID] = {}

    def begin(self, total: int, finished: int) -> None:
        """Start the bar over all runs."""
        super().begin(total, finished)
        self._all = self._bars.add_task("[bold]runs", total=total, completed=finished, left="")

    def running(self, jobs: Sequence[Job]) -> None:
        """Bring the bars of the running jobs up to date."""
        for job in jobs:
            if job.name not in self._lines:
                self._lines[job.name] = self._bars.add_task(f"  {shown(job.name)}", total=None, left="")
            if steps := read_steps(job.log):
                self._bars.update(self._lines[job.name], completed=steps[0], total=steps[1])

    def done(self, job: Job, failure: Failure | None) -> None:
        """Take the job's bar away and move the one over all."""
        if job.name in self._lines:
            self._bars.remove_task(self._lines.pop(job.name))
        super().done(job, failure)
        if self._done:
            self._bars.update(self._all, completed=self._come_to, left=self._left())


class RunLines(_Count):
    """A line where a job starts, and one where it ends."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._started: set[str] = set()

    def running(self, jobs: Sequence[Job]) -> None:
        """Name the jobs that are new."""
        for job in jobs:
            if job.name not in self._started:
                self._started.add(job.name)
                self._say(f"started: {shown(job.name)}")

    def done(self, job: Job, failure: Failure | None) -> None:
        """Say how many runs are done, and how long the others will take."""
        super().done(job, failure)
        if job.work == "run_cell":
            self._say(f"{self._come_to} of {self._total} runs done, {self._left()}")


@contextmanager
def without_bars() -> Iterator[None]:
    """Keep the progress bars of other libraries out of ours while the block runs."""
    import datasets
    from transformers.utils import logging as transformers_logging

    bars: Any = datasets.utils.logging
    bars_were_on = bars.is_progress_bar_enabled()
    datasets.disable_progress_bars()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.enable_progress_bar()
        if bars_were_on:
            datasets.enable_progress_bars()
