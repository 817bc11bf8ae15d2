"""`axolotl dece check`: a config of one's own, or one that somebody shares."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from axolotl_dece.cli.output import Reporting, answer_console, errors_said, json_option, print_json
from axolotl_dece.util.terminal import shown

if TYPE_CHECKING:
    from axolotl_dece.check import Finding

# how a finding is marked on the screen, and where it stands in the JSON
_LEVELS = {
    "error": ("[red]error[/]", "errors"),
    "machine": ("[yellow]here[/]", "on_this_machine"),
    "warning": ("[yellow]warning[/]", "warnings"),
    "ok": ("[green]ok[/]", "ok"),
}
# what a reader of somebody else's config wants to see first, as far as it is there
_SUMMARY = ("base_model", "adapter", "loss", "datasets", "sequence_len", "num_epochs", "max_steps", "learning_rate")


@click.command(cls=Reporting)
@click.argument("config")
@json_option
def check(config: str, as_json: bool) -> None:
    """Say whether CONFIG would really train with DeCE, and whether on this machine. Exits with 0 if it would use DeCE.

    CONFIG is a file, a model on the hub (org/name or org/name@revision; the config is read from its card or its
    files) or an http(s) address. A config from elsewhere is only read: nothing that it names is imported or run.
    """
    from axolotl_dece.cards.shared_config import fetch_config

    with errors_said():
        found = fetch_config(config)
        # torch and axolotl: only for a config that is there
        from axolotl_dece.cards.check_shared import inspect_shared

        raw, findings = inspect_shared(found)
    verdict = _verdict(config, findings)
    if as_json:
        texts = {key: [one.text for one in findings if one.level == level] for level, (_, key) in _LEVELS.items()}
        print_json({"config": config, "from": found.origin, **verdict, **texts, "keys": _keys(raw)})
    else:
        _show(verdict, findings, _summary(raw, found.origin) if found.is_foreign else None)
    if not verdict["uses_dece"]:
        raise click.exceptions.Exit(1)


def _verdict(config: str, findings: list[Finding]) -> dict[str, Any]:
    """Whether a run uses DeCE and whether it runs here; both in words."""
    errors, obstacles = (sum(one.level == level for one in findings) for level in ("error", "machine"))
    said = f"A run of {config} uses DeCE."
    if errors:
        said = f"DeCE would not be used: {errors} error{'s' * (errors > 1)} in {config}"
    elif obstacles:
        said += f" But on this machine it will not run: {obstacles} reason{'s' * (obstacles > 1)}."
    return {"uses_dece": not errors, "runs_here": not (errors or obstacles), "verdict": said}


def _show(verdict: dict[str, Any], findings: list[Finding], summary: Any) -> None:
    from rich.table import Table

    console = answer_console()
    colour = "red" if not verdict["uses_dece"] else "green" if verdict["runs_here"] else "yellow"
    console.print(f"[{colour}]{shown(verdict['verdict'])}[/]")
    if summary:
        console.print(summary)
    table = Table.grid(padding=(0, 2))
    for finding in findings:
        table.add_row(_LEVELS[finding.level][0], shown(finding.text))
    console.print(table)


def _keys(raw: dict[str, Any]) -> dict[str, str]:
    """What would run, in a few keys."""
    shown = {key: raw[key] for key in _SUMMARY if raw.get(key) is not None}
    if isinstance(listed := shown.get("datasets"), list):
        shown["datasets"] = ", ".join(str(entry.get("path")) for entry in listed if isinstance(entry, dict))
    return {key: str(value) for key, value in shown.items()}


def _summary(raw: dict[str, Any], origin: str) -> Any:
    from rich.table import Table

    table = Table(title=shown(f"What would run here ({origin})"), show_header=False)
    for key, value in _keys(raw).items():
        table.add_row(key, shown(value))
    return table
