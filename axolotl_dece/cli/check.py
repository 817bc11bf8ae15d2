"""`axolotl dece check cfg.yaml`."""

from __future__ import annotations

from pathlib import Path

import click

_MARKS = {"ok": "[green]ok[/]", "warning": "[yellow]warning[/]", "error": "[red]error[/]"}


@click.command()
@click.argument("config", type=click.Path(path_type=Path))
def check(config: Path) -> None:
    """Say whether CONFIG would really train with DeCE. Exits with 0 only if it would."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from axolotl_dece.preflight import inspect_config, read_config

    try:
        raw, duplicates = read_config(config)
    except ValueError as error:
        raise click.ClickException(str(error)) from error
    findings = inspect_config(raw, duplicates)
    table = Table.grid(padding=(0, 2))
    for finding in findings:
        table.add_row(_MARKS[finding.level], escape(finding.text))
    console = Console()
    console.print(table)
    errors = sum(finding.level == "error" for finding in findings)
    if errors:
        console.print(f"[red]DeCE would not be used:[/] {errors} error{'s' * (errors > 1)} in {config}")
        raise click.exceptions.Exit(1)
    console.print(f"[green]A run of {config} uses DeCE.[/]")
