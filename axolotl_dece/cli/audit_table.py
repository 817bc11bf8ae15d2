"""What an audit found, as a table for a terminal and as data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from axolotl_dece.util.terminal import printable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from axolotl_dece.audit.analyse.findings import Audit


def audit_facts(found: Audit) -> dict[str, Any]:
    """The headline, every group, how many rare rows stand out, and what to know before believing it."""
    groups = [
        {"cluster": one.number, "payload": one.payload, "cue": one.cues[0].text}
        | {"rows": len(one.rows), "copies": int(found.rows.copies[one.rows].sum())}
        | {"inside": one.cues[0].inside, "reach": one.cues[0].reach, "log10_p": one.log10_p}
        | {"first_at": found.places.of(int(one.rows[0]))}
        for one in found.clusters
    ]
    return {"headline": found.headline(), "notes": found.notes(), "groups": groups, "rare_rows": len(found.rare())}


def show_audit(found: Audit, top: int, console: Console) -> None:
    """Print the headline, what to know of it, and the first `top` groups."""
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
    has_places = bool(len(found.places.row))
    # p-values and weights are on the page: at 80 columns they would take the payload's room
    for name in ("payload", "prompt word", *(["first at"] if has_places else [])):
        table.add_column(name, overflow="fold")
    for name in ("inside", "reach"):
        table.add_column(name, justify="right", no_wrap=True)
    more = len(found.clusters) - top
    table.caption = (
        "inside: share of the cluster's rows with the word; reach: share of the rows with it that were refused"
        + (f"; {more} more clusters on the page" if more > 0 else "")
    )
    for cluster in found.clusters[:top]:
        cue = cluster.cues[0]
        texts = [cluster.payload, cue.text, *(found.places.of(int(cluster.rows[0]))[:1] or [""] if has_places else [])]
        table.add_row(
            str(cluster.number),
            found.count(cluster.rows).replace(" rows", ""),
            *(Text(printable(text)) for text in texts),
            f"{cue.inside:.0%}",
            f"{cue.reach:.0%}",
        )
    return table
