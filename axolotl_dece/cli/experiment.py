"""`axolotl dece experiment`: a grid of runs, trained, measured and added up."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from axolotl_dece.cli.output import Reporting, answer_console, errors_said, json_option, print_json
from axolotl_dece.cli.targets import FILE, FOLDER
from axolotl_dece.util.terminal import shown

if TYPE_CHECKING:
    from axolotl_dece.experiment.grid import Grid
    from axolotl_dece.experiment.pool import Failure
    from axolotl_dece.experiment.report import ExperimentReport


@click.command(cls=Reporting, short_help="Run a grid of trainings, measure them, and add them up.")
@click.argument("grid", type=FILE)
@click.option("--out", type=FOLDER, help="Folder of the experiment; goes on there. [default: dece-experiment-NAME]")
@click.option("--jobs", type=click.IntRange(1), default=2, show_default=True, help="Runs at once, a process to each.")
@click.option(
    "--device", type=click.Choice(["auto", "cpu"]), default="auto", show_default=True,
    help="auto: the GPU if there is one; cpu: none, even so.",
)  # fmt: skip
@click.option("--plan", is_flag=True, help="Only show the runs, and which of them are finished.")
@json_option
def experiment(grid: Path, out: Path | None, jobs: int, device: str, plan: bool, as_json: bool) -> None:
    """Run every arm of GRID under every attack, at every rate, with every seed; see docs/experiments.md.

    Finished runs are kept and not run again; a run that failed or was killed is. Exit status 1 if any failed.
    """
    from axolotl_dece.experiment.cell import folder_name
    from axolotl_dece.experiment.grid import read_grid

    with errors_said():
        asked = read_grid(grid)
        folder = (out or Path(f"dece-experiment-{folder_name(asked.name)}")).resolve()
        if plan:
            _show_plan(asked, folder, as_json)
            return
        report, failures = _run(asked, grid, folder, jobs, device)
    if as_json:
        failed = [{"name": one.job.name, "exit_status": one.code, "log": str(one.job.log)} for one in failures]
        print_json({"out": str(folder), "failed": failed, **(report.facts() if report else {})})
    elif report:
        answer_console().print(report.shown())
    if failures:
        names = "\n".join(f"  {failure.job.name}: {failure.job.log}" for failure in failures)
        raise click.ClickException(f"{len(failures)} failed, and will be run again next time:\n{names}")


def _run(
    asked: Grid, grid: Path, folder: Path, jobs: int, device: str
) -> tuple[ExperimentReport | None, list[Failure]]:
    # only now: they import half of what trains
    from axolotl_dece.cli.progress import progress_of_runs
    from axolotl_dece.experiment.report import write_report
    from axolotl_dece.experiment.run import open_folder, run_grid

    with open_folder(folder, grid.read_text(encoding="utf-8")):
        with progress_of_runs() as progress:
            results, failures = run_grid(asked, folder, jobs, device, progress)
        command = f"axolotl dece experiment {grid}"
        return write_report(asked.name, command, results, folder) if results else None, failures


def _show_plan(grid: Grid, out: Path, as_json: bool) -> None:
    runs: list[dict[str, Any]] = [
        {"arm": cell.arm, "attack": cell.attack, "rate": cell.rate, "seed": cell.seed}
        | {"finished": cell.read_result(out) is not None}
        for cell in grid.cells()
    ]
    if as_json:
        print_json({"name": grid.name, "out": str(out), "runs": runs})
        return
    from rich.table import Table

    table = Table("arm", "attack", "rate", "seed", "state", title=shown(f"{grid.name}: {out}"))
    for run in runs:
        state = "finished" if run["finished"] else "to run"
        table.add_row(shown(run["arm"]), shown(run["attack"]), f"{run['rate']:g}", str(run["seed"]), state)
    answer_console().print(table)
