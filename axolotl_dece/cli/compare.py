"""`axolotl dece compare`: evaluated runs side by side, as a table and as a page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

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
    from axolotl_dece.evaluation.compare import differences, load_runs, unpaired_notes

    try:
        loaded = load_runs(runs)
    except ValueError as error:
        raise click.ClickException(str(error)) from error
    _show(loaded, differences(loaded), unpaired_notes(loaded), out)


def _show(loaded: Any, gaps: Any, notes: list[str], out: Path) -> None:
    from rich.console import Console
    from rich.markup import escape

    from axolotl_dece.evaluation.headline import headline
    from axolotl_dece.evaluation.page import write_page
    from axolotl_dece.evaluation.terminal import all_runs, answer_first

    console, reports = Console(), {run.name: run.report for run in loaded}
    console.print(answer_first(headline(reports, gaps)))
    console.print(all_runs(reports, gaps))
    for note in notes:
        console.print(f"[yellow]{escape(note)}[/]")
    try:
        console.print(f"written to {escape(str(write_page(loaded, out, gaps)))}")
    except OSError as error:
        raise click.ClickException(f"`--out {out}` cannot be written: {error.strerror or error}") from error
