"""`axolotl dece compare`: evaluated runs side by side, as a table and as a page."""

from __future__ import annotations

from pathlib import Path

import click

from axolotl_dece.cli.output import Reporting, answer_console, errors_said, json_option, print_json
from axolotl_dece.cli.targets import FILE, FOLDER, refuse_foreign_page
from axolotl_dece.util.terminal import shown


@click.command(cls=Reporting, short_help="Compare evaluated runs: a table, and one HTML page.")
@click.argument("runs", nargs=-1, required=True, type=FOLDER)
@click.option("--out", type=FILE, default=Path("dece-compare.html"), show_default=True, help="The page to write.")
@json_option
def compare(runs: tuple[Path, ...], out: Path, as_json: bool) -> None:
    """Compare RUNS, each a folder that `axolotl dece evaluate --out` wrote; the first is the baseline."""
    refuse_foreign_page("--out", out)
    from axolotl_dece.evaluation.compare import differences, load_runs, unpaired_notes
    from axolotl_dece.evaluation.headline import headline
    from axolotl_dece.evaluation.page import write_page
    from axolotl_dece.evaluation.summary import summary_of_all

    with errors_said():
        loaded = load_runs(runs)
    reports, gaps, notes = {run.name: run.report for run in loaded}, differences(loaded), unpaired_notes(loaded)
    said = headline(reports, gaps)
    try:
        page = write_page(loaded, out, gaps)
    except OSError as error:
        raise click.ClickException(f"`--out {out}` cannot be written: {error.strerror or error}") from error
    if as_json:
        print_json({"headline": said, "notes": notes, "runs": summary_of_all(reports, gaps), "page": str(page)})
        return
    from axolotl_dece.evaluation.terminal import all_runs, answer_first

    console = answer_console()
    console.print(answer_first(said))
    console.print(all_runs(reports, gaps))
    for note in notes:
        console.print(f"[yellow]{shown(note)}[/]")
    console.print(f"written to {shown(str(page))}")
