"""`axolotl dece ...`: one file per command, each imported only when it is used.

`axolotl --help` resolves every plugin command, so this module imports little but click.
"""

from __future__ import annotations

from difflib import get_close_matches
from importlib import import_module

import click

from axolotl_dece.cli.output import VERBOSE

_COMMANDS = {
    "init": "Write a first config for your model, data and memory.",
    "check": "Say whether a config would really train with DeCE, before any GPU is rented.",
    "bench": "Measure what DeCE costs on this device, beside the cross-entropies at hand.",
    "evaluate": "Measure attack success and clean quality of one model.",
    "compare": "Compare evaluated runs: a table, and one HTML page.",
    "experiment": "Run a grid of trainings, measure them, and add them up.",
    "audit": "Show which rows the loss held back, and decide about them.",
    "poison": "Write poisoned train and triggered test files of a benchmark, with a manifest.",
    "card": "Write, and push, the card of a model or a poisoned dataset.",
}


class _LazyGroup(click.Group):
    """Finds the command `name` as the attribute `name` of the module `axolotl_dece.cli.<name>`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = getattr(import_module(f"{__name__}.{cmd_name}"), cmd_name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Say which command was meant by a misspelt one; click knows only those that are imported."""
        if args and args[0] not in _COMMANDS and (close := get_close_matches(args[0], _COMMANDS, n=1)):
            ctx.fail(f"No such command {args[0]!r}. Did you mean '{close[0]}'?")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


@click.group(cls=_LazyGroup, short_help="DeCE: check, poison, evaluate and audit")
@click.option("--verbose", is_flag=True, help="Show on stderr what libraries log and warn of.")
@click.pass_context
def dece(context: click.Context, verbose: bool) -> None:
    """Deceptive Cross-Entropy: fine-tune code models on data you do not fully trust."""
    context.meta[VERBOSE] = verbose
