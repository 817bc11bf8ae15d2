"""`axolotl dece audit`: which rows the loss held back, as a table and a page, and decisions about them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from axolotl_dece.util.terminal import printable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from axolotl_dece.audit.analyse.findings import Audit

_PATH = click.Path(dir_okay=False, path_type=Path)


@click.command(short_help="Show which rows the loss held back, and decide about them.")
@click.argument("out", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--page", type=_PATH, help="The page to write.  [default: OUT/_dece_audit.html]")
@click.option("--least-rows", type=click.IntRange(min=5), default=5, show_default=True, help="Rows of a cluster.")
@click.option("--top", type=click.IntRange(min=1), default=10, show_default=True, help="Clusters in the table.")
@click.option("--read", type=click.IntRange(min=0), default=100, show_default=True, help="Rows drawn to be read.")
@click.option("--tokenizer", help="Where the run's tokenizer is, if not in OUT.")
@click.option("--trust", multiple=True, metavar="cluster:N|row:ID", help="Train these rows with alpha = 1.")
@click.option("--drop", multiple=True, metavar="cluster:N|row:ID", help="Take these rows out of training.")
@click.option("--write", type=_PATH, help="File for the decisions: `dece_decisions` of the next run.")
@click.option("--overwrite", is_flag=True, help="Replace the decisions file if it is there.")
def audit(
    out: Path,
    page: Path | None,
    least_rows: int,
    top: int,
    read: int,
    tokenizer: str | None,
    trust: tuple[str, ...],
    drop: tuple[str, ...],
    write: Path | None,
    overwrite: bool,
) -> None:
    """Show what a run with `dece_audit: true` held back; OUT is its output_dir.

    \b
    axolotl dece audit OUT --trust cluster:2 --drop cluster:1 --write decisions.jsonl
    """
    from rich.console import Console

    from axolotl_dece.audit.analyse.findings import load_audit
    from axolotl_dece.audit.decisions import write_decisions
    from axolotl_dece.audit.page import write_page
    from axolotl_dece.audit.select_rows import choose

    _check_options(trust + drop, write, overwrite)
    console = Console()
    try:
        with console.status("reading the ledger and testing what goes together"):
            found = load_audit(out, least_rows=least_rows, tokenizer=tokenizer)
            lines = choose(found, trust, drop)
        written = write_page(found, page or out / "_dece_audit.html", read)
    except ValueError as error:
        raise click.ClickException(str(error)) from error
    _show(found, top, console)
    _say(console, f"page written to {written}")
    if write is not None:
        write_decisions(write, lines)
        counts = " and ".join(f"{_count(found, lines, kind)} to {kind}" for kind in ("drop", "trust"))
        _say(console, f"{counts} written to {write}; train again with `dece_decisions: {write}`")


def _say(console: Console, text: str) -> None:
    """A line with paths in it: whole, and no `[...]` of it is markup."""
    console.print(printable(text), soft_wrap=True, highlight=False, markup=False)


def _count(found: Audit, lines: list[dict[str, Any]], decision: str) -> str:
    decided = {line["row"] for line in lines if line["decision"] == decision}
    return found.count(np.flatnonzero([row in decided for row in found.rows.ids]))


def _check_options(decisions: tuple[str, ...], write: Path | None, overwrite: bool) -> None:
    if decisions and write is None:
        raise click.UsageError("--trust and --drop need --write FILE, or nothing would come of them")
    if write is not None and not decisions:
        raise click.UsageError("--write needs something to write: --trust or --drop")
    if write is not None and write.exists() and not overwrite:
        raise click.UsageError(f"{write} is already there; give another name or --overwrite")


def _show(found: Audit, top: int, console: Console) -> None:
    console.print(found.headline(), highlight=False)
    for note in found.notes():
        console.print(note, style="yellow", markup=False)
    if found.clusters:
        console.print(_table(found, top))
    else:
        console.print("No cluster: nothing that rows hold back together goes with a word of their prompts.")


def _table(found: Audit, top: int) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(printable(f"What {found.name} held back, and the word of the prompt that goes with it")))
    for name in ("cluster", "rows"):
        table.add_column(name, justify="right")
    for name in ("payload", "prompt word"):
        table.add_column(name, overflow="fold")
    for name in ("inside", "reach", "log10 p", "weight"):
        table.add_column(name, justify="right", no_wrap=True)
    more = len(found.clusters) - top
    table.caption = (
        "inside: share of the cluster's rows with the word; reach: share of the rows with it that were refused"
        + (f"; {more} more clusters on the page" if more > 0 else "")
    )
    for cluster in found.clusters[:top]:
        cue = cluster.cues[0]
        table.add_row(
            str(cluster.number),
            found.count(cluster.rows).replace(" rows", ""),
            Text(printable(cluster.payload)),
            Text(printable(cue.text)),
            f"{cue.inside:.0%}",
            f"{cue.reach:.0%}",
            f"{cluster.log10_p:.0f}",
            f"{cluster.weight:.0f}",
        )
    return table
