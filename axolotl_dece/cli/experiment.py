"""`axolotl dece experiment`: a grid of runs, trained, measured and added up."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from axolotl_dece.experiment.pool import Failure


@click.command(short_help="Run a grid of trainings, measure them, and add them up.")
@click.argument("grid", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path),
    help="Folder of the experiment; goes on there. [default: dece-experiment-NAME]",
)  # fmt: skip
@click.option("--jobs", type=click.IntRange(1), default=2, show_default=True, help="Runs at once, a process to each.")
@click.option(
    "--device", type=click.Choice(["auto", "cpu"]), default="auto", show_default=True,
    help="auto: the GPU if there is one; cpu: none, even so.",
)  # fmt: skip
@click.option("--plan", is_flag=True, help="Only show the runs, and which of them are finished.")
def experiment(grid: Path, out: Path | None, jobs: int, device: str, plan: bool) -> None:
    """Run every arm of GRID under every attack, at every rate, with every seed; see docs/experiments.md.

    Finished runs are kept and not run again; a run that failed or was killed is. Exit status 1 if any failed.
    """
    # what libraries say while they are imported; every run keeps its own log whole
    logging.disable(logging.WARNING)
    try:
        failures = _run(grid, out, jobs, device, plan)
    except ValueError as error:
        raise click.ClickException(str(error)) from error
    finally:
        logging.disable(logging.NOTSET)
    if failures:
        names = "\n".join(f"  {failure.job.name}: {failure.job.log}" for failure in failures)
        raise click.ClickException(f"{len(failures)} failed, and will be run again next time:\n{names}")


def _run(grid: Path, out: Path | None, jobs: int, device: str, plan: bool) -> list[Failure]:
    from rich.console import Console

    from axolotl_dece.cli.experiment_progress import Board, show_plan
    from axolotl_dece.experiment.cell import folder_name
    from axolotl_dece.experiment.grid import read_grid

    console = Console()
    asked = read_grid(grid)
    # only now: they import half of what trains
    from axolotl_dece.experiment.report import write_report
    from axolotl_dece.experiment.run import open_folder, run_grid

    folder = (out or Path(f"dece-experiment-{folder_name(asked.name)}")).resolve()
    if plan:
        show_plan(asked, folder, console)
        return []
    with open_folder(folder, grid.read_text(encoding="utf-8")):
        with Board(console) as board:
            results, failures = run_grid(asked, folder, jobs, device, board)
        if results:
            console.print(write_report(asked.name, f"axolotl dece experiment {grid}", results, folder))
    return failures
