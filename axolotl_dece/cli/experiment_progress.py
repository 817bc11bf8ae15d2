"""What a terminal shows of an experiment: a bar over its runs, and a line for each that is running."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn
from rich.table import Table

from axolotl_dece.cli.progress import Shown
from axolotl_dece.experiment.training_log import read_steps

if TYPE_CHECKING:
    from pathlib import Path

    from axolotl_dece.experiment.grid import Grid
    from axolotl_dece.experiment.pool import Failure, Job


class Board(Shown):
    """What `experiment.run` calls its listener, shown in a terminal."""

    def __init__(self, console: Console) -> None:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[left]}"),
        )
        self._bars = Progress(*columns, console=console)
        self._console = console
        self._lines: dict[str, TaskID] = {}
        self._total = self._finished = self._done = 0
        self._began = time.monotonic()

    def begin(self, total: int, finished: int) -> None:
        """Start the bar over all runs."""
        self._total, self._finished = total, finished
        self._all = self._bars.add_task("[bold]runs", total=total, completed=finished, left="")
        if finished:
            self._console.print(f"{finished} of {total} runs are finished already")

    def running(self, jobs: Sequence[Job]) -> None:
        """Bring the lines of the running jobs up to date."""
        for job in jobs:
            if job.name not in self._lines:
                self._lines[job.name] = self._bars.add_task(f"  {escape(job.name)}", total=None, left="")
            if steps := read_steps(job.log):
                self._bars.update(self._lines[job.name], completed=steps[0], total=steps[1])

    def done(self, job: Job, failure: Failure | None) -> None:
        """Take the line away; what failed stays on the screen."""
        if job.name in self._lines:
            self._bars.remove_task(self._lines.pop(job.name))
        if failure:
            self._console.print(
                f"[red]failed[/] (exit status {failure.code}): {escape(job.name)}, {escape(str(job.log))}"
            )
            self._console.print(failure.last_lines, markup=False, highlight=False)
        if job.work != "run_cell":
            # the clock starts with the first run
            self._began = time.monotonic()
            return
        self._done += 1
        left = (time.monotonic() - self._began) / self._done * (self._total - self._finished - self._done)
        self._bars.update(self._all, completed=self._finished + self._done, left=f"{_say_time(left)} left")


def show_plan(grid: Grid, out: Path, console: Console) -> None:
    """Print every run and whether it is finished."""
    table = Table(title=f"{grid.name}: {out}")
    for title in ("arm", "attack", "rate", "seed", "state"):
        table.add_column(title)
    for cell in grid.cells():
        state = "finished" if cell.read_result(out) else "to run"
        table.add_row(escape(cell.arm), escape(cell.attack), f"{cell.rate:g}", str(cell.seed), state)
    console.print(table)


def _say_time(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"
