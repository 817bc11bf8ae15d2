"""`axolotl dece compare`: evaluated runs side by side, as a table and as a page."""

from __future__ import annotations

from pathlib import Path

import click


@click.command(short_help="Compare evaluated runs: a table, and one HTML page.")
@click.argument("runs", nargs=-1, required=True, type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("dece-compare.html"),
    show_default=True,
    help="The page to write.",
)
def compare(runs: tuple[Path, ...], out: Path) -> None:
    """Compare RUNS, each a folder that `axolotl dece evaluate --out` wrote; the first is the baseline."""
    from rich.console import Console

    from axolotl_dece.evaluation.compare import differences, load_runs
    from axolotl_dece.evaluation.page import write_page
    from axolotl_dece.evaluation.terminal import all_runs

    try:
        loaded = load_runs(runs)
    except ValueError as error:
        raise click.ClickException(str(error)) from error
    console = Console()
    console.print(all_runs({run.name: run.report for run in loaded}, differences(loaded)))
    console.print(f"written to {write_page(loaded, out)}")
