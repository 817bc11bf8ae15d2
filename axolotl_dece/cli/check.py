"""`axolotl dece check`: a config of one's own, or one that somebody shares."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from axolotl_dece.check import Finding

_MARKS = {"ok": "[green]ok[/]", "warning": "[yellow]warning[/]", "machine": "[yellow]here[/]", "error": "[red]error[/]"}


# what a reader of somebody else's config wants to see first, as far as it is there
_SUMMARY = ("base_model", "adapter", "loss", "datasets", "sequence_len", "num_epochs", "max_steps", "learning_rate")


@click.command()
@click.argument("config")
def check(config: str) -> None:
    """Say whether CONFIG would really train with DeCE, and whether on this machine. Exits with 0 if it would use DeCE.

    CONFIG is a file, a model on the hub (org/name or org/name@revision; the config is read from its card or its
    files) or an http(s) address. A config from elsewhere is only read: nothing that it names is imported or run.
    """
    from rich.console import Console
    from rich.table import Table

    from axolotl_dece.cards.check_shared import inspect_shared
    from axolotl_dece.cards.shared_config import fetch_config

    try:
        found = fetch_config(config)
        raw, findings = inspect_shared(found)
    except ValueError as error:
        raise click.ClickException(_printable(str(error))) from error
    console = Console()
    if found.is_foreign:
        console.print(_summary(raw, found.origin))
    table = Table.grid(padding=(0, 2))
    for finding in findings:
        table.add_row(_MARKS[finding.level], _plain(finding))
    console.print(table)
    errors = sum(finding.level == "error" for finding in findings)
    if errors:
        console.print(f"[red]DeCE would not be used:[/] {errors} error{'s' * (errors > 1)} in {_escaped(config)}")
        raise click.exceptions.Exit(1)
    console.print(f"[green]A run of {_escaped(config)} uses DeCE.[/]")
    if obstacles := sum(finding.level == "machine" for finding in findings):
        console.print(
            f"[yellow]But on this machine it will not run[/]: {obstacles} reason{'s' * (obstacles > 1)} above."
        )


def _summary(raw: dict[str, Any], origin: str) -> Any:
    """What would run here, in a few lines."""
    from rich.table import Table

    table = Table(title=_escaped(f"What would run here ({origin})"), show_header=False)
    for key in _SUMMARY:
        if raw.get(key) is not None:
            value = raw[key]
            if key == "datasets" and isinstance(value, list):
                value = ", ".join(str(entry.get("path")) for entry in value if isinstance(entry, dict))
            table.add_row(key, _escaped(value))
    return table


def _plain(finding: Finding) -> str:
    return _escaped(finding.text)


def _escaped(value: Any) -> str:
    from rich.markup import escape

    return escape(_printable(str(value)))


def _printable(text: str) -> str:
    """Without escape sequences: what is printed may be somebody else's text, and a terminal obeys them."""
    return "".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in text)
