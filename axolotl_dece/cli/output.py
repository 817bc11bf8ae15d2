"""What a command writes where: its answer to stdout, everything else to stderr."""

from __future__ import annotations

import json
import logging
import os
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from typing import TYPE_CHECKING, Any, TextIO

import click

from axolotl_dece.util.json_text import with_gaps
from axolotl_dece.util.terminal import printable

if TYPE_CHECKING:
    from rich.console import Console

VERBOSE = "axolotl_dece.verbose"
_ANSWER = "axolotl_dece.answer"

json_option = click.option("--json", "as_json", is_flag=True, help="Print the answer as one JSON object.")


class Reporting(click.Command):
    """A command whose stdout holds its answer and nothing else, whatever libraries print or log."""

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        """Read the command line."""
        with _printable_errors():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; with `--verbose` before its name, what libraries say is seen on stderr."""
        with _printable_errors(), _only_the_answer(verbose=ctx.meta.get(VERBOSE, False)) as stdout:
            ctx.meta[_ANSWER] = stdout
            return super().invoke(ctx)


@contextmanager
def _printable_errors() -> Iterator[None]:
    """Let an error show the names of files, columns and rows, never obey them."""
    try:
        yield
    except click.ClickException as error:
        # click's types call it final
        vars(error)["message"] = printable(error.message, keep="\n\t")
        raise


@contextmanager
def errors_said() -> Iterator[None]:
    """Let a ValueError of the block, which is written for the user, end the command as its one message."""
    try:
        yield
    except ValueError as error:
        raise click.ClickException(str(error)) from error


@contextmanager
def _only_the_answer(*, verbose: bool) -> Iterator[TextIO]:
    """Send to stderr what the block prints; yields the real stdout."""
    stdout = sys.stdout
    # `axolotl` has set up its logging, to stdout, before it hands over to our commands
    handlers = [one for one in _handlers() if one.stream is stdout]
    for handler in handlers:
        handler.setStream(sys.stderr)
    disabled = logging.root.manager.disable
    try:
        with redirect_stdout(sys.stderr), warnings.catch_warnings():
            if not verbose:
                warnings.simplefilter("ignore")
                logging.disable(logging.WARNING)
                _hide_bars_of_datasets()
            yield stdout
    finally:
        logging.disable(disabled)
        for handler in handlers:
            handler.setStream(stdout)


def _hide_bars_of_datasets() -> None:
    """Rows are read again to find their lines; `datasets` would draw a bar for each step of that."""
    os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")
    if "datasets" in sys.modules:  # it has read the variable already
        from datasets.utils.logging import disable_progress_bar

        disable_progress_bar()


def _handlers() -> Iterator[logging.StreamHandler[Any]]:
    for logger in (logging.root, *logging.root.manager.loggerDict.values()):
        if isinstance(logger, logging.Logger):
            yield from (one for one in logger.handlers if isinstance(one, logging.StreamHandler))


def answer_console() -> Console:
    """Where the answer of the command at work goes."""
    from rich.console import Console

    return Console(file=click.get_current_context().meta[_ANSWER])


def progress_console() -> Console:
    """Where a command says how far it is."""
    from rich.console import Console

    return Console(stderr=True)


def print_json(facts: Mapping[str, Any]) -> None:
    """Print the answer as JSON; a number that is none, such as the loss of a model that diverged, is null."""
    click.echo(json.dumps(with_gaps(facts), indent=2), file=click.get_current_context().meta[_ANSWER])
