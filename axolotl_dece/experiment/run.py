"""A grid from its file to its pages: what is finished stays, what is missing is run, what fails is said."""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from axolotl_dece.experiment.cell import Cell
from axolotl_dece.experiment.grid import Grid
from axolotl_dece.experiment.pool import Failure, Job, run_jobs, start_server
from axolotl_dece.experiment.provenance import made_by
from axolotl_dece.util.atomic import write_text_atomically

GRID_FILE, _LOCK_FILE = "grid.yaml", ".axolotl-dece-experiment"


class Listener(Protocol):
    """Hears how far the experiment has come."""

    def begin(self, total: int, finished: int) -> None:
        """`total` runs, of which `finished` were finished before."""

    def running(self, jobs: Sequence[Job]) -> None:
        """What is being done right now; called several times a second."""

    def done(self, job: Job, failure: Failure | None) -> None:
        """One job has come to its end, or failed."""


def run_grid(
    grid: Grid, out: Path, jobs: int, device: str, listener: Listener
) -> tuple[list[dict[str, Any]], list[Failure]]:
    """Run what has no result yet.

    Args:
        grid: What to run.
        out: Folder of the experiment, as `open_folder` left it.
        jobs: Runs at once.
        device: `auto`, `cpu` or `cuda`.
        listener: Hears of progress.

    Returns:
        The results of all finished runs in the grid's order, and the failures of this time.
    """
    cells = list(grid.cells())
    missing = [cell for cell in cells if cell.read_result(out) is None]
    listener.begin(len(cells), len(cells) - len(missing))
    failures: list[Failure] = []
    # a cache between arms; what a killed run has left of it may be half
    shutil.rmtree(out / "data" / "prepared", ignore_errors=True)
    if missing:
        context = start_server(jobs, device, out / "server.log")
        made = made_by()
        preparing = [_prepare(grid, cell, out) for cell in {cell.seed: cell for cell in missing}.values()]
        # one after the other: what the first makes for all seeds, the others find
        failures = _run(run_jobs(context, preparing, 1, listener.running), listener)
        if not failures:
            failures = _run(run_jobs(context, [_check(grid, missing, out)], 1, listener.running), listener)
        if not failures:
            queue = [
                Job(
                    cell.name,
                    "run_cell",
                    (cell, grid.task, out, grid.keep_weights, made),
                    cell.folder(out) / "cell.log",
                )
                for cell in missing
            ]
            failures = _run(run_jobs(context, queue, jobs, listener.running), listener)
    return [result for cell in cells if (result := cell.read_result(out)) is not None], failures


def _prepare(grid: Grid, cell: Cell, out: Path) -> Job:
    folder = cell.task_folder(out)
    return Job(f"task, seed {cell.seed}", "prepare", (grid.task, folder, cell.seed), folder / f"seed-{cell.seed}.log")


def _check(grid: Grid, missing: Sequence[Cell], out: Path) -> Job:
    one_of_each = list({cell.arm: cell for cell in reversed(missing)}.values())
    return Job("the arms on this machine", "check_arms", (one_of_each, grid.task, out), out / "check.log")


def _run(finished: Iterator[tuple[Job, Failure | None]], listener: Listener) -> list[Failure]:
    failures = []
    for job, failure in finished:
        listener.done(job, failure)
        if failure:
            failures.append(failure)
    return failures


@contextmanager
def open_folder(out: Path, grid_text: str) -> Iterator[None]:
    """Hold `out` for one experiment; a copy of its grid lies there.

    Raises:
        ValueError: If it holds something else, or another process holds it.
    """
    if out.exists() and any(out.iterdir()) and not (out / _LOCK_FILE).is_file():
        raise ValueError(f"{out} is not empty and no experiment was run there; choose another `--out`")
    out.mkdir(parents=True, exist_ok=True)
    with (out / _LOCK_FILE).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise ValueError(
                f"another process runs an experiment in {out}; wait for it, or choose another `--out`"
            ) from error
        write_text_atomically(out / GRID_FILE, grid_text)
        yield
