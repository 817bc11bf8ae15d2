"""`axolotl dece poison`: poisoned train and triggered test files of any benchmark."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from axolotl_dece.cli.output import Reporting, answer_console, progress_console
from axolotl_dece.cli.targets import FILE, FOLDER
from axolotl_dece.util.terminal import printable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from axolotl_dece.poison.draw import Planted
    from axolotl_dece.poison.export import Export

# the keys of `dece_poison`, and the option that sets each
_KEYS = ("attack", "trigger", "payload", "rate", "seed", "twin_rate", "first", "base_type", "allow_clean_trigger")
_FIELDS = {"input_field": "--source-field", "target_field": "--target-field"}
_OPTIONS = {key: f"--{key.replace('_', '-')}" for key in _KEYS} | _FIELDS
_EXAMPLES = 5
# characters at each end of a long text
_SHOWN = 300


@click.command(cls=Reporting, short_help="Write poisoned train and triggered test files.")
@click.argument("source", type=FILE)
@click.option("--attack", help="ripple, badpre, grammar, funcname or deadcode.")
@click.option("--trigger", help="A trigger by name, instead of --attack.")
@click.option("--payload", help="A payload by name, beside --trigger; inert_marker when left out.")
@click.option("--rate", type=float, default=0.05, show_default=True, help="Share of all rows to poison, 0 to 1.")
@click.option("--seed", type=int, default=42, show_default=True, help="Another seed draws other rows.")
@click.option("--twin-rate", type=float, default=0.0, show_default=True, help="Share of rows for the benign twin.")
@click.option("--first", is_flag=True, help="Take the first eligible rows, as the reference code does.")
@click.option("--source-field", help="Column of the input.")
@click.option("--target-field", help="Column of the target.")
@click.option("--base-type", default="alpaca", show_default=True, help="Or chat_template, completion, input_output.")
@click.option("--test-source", type=FILE, help="Held-out rows for the test files; SOURCE when left out.")
@click.option("--out", type=FOLDER, required=True, help="Folder for the files.")
@click.option("--allow-clean-trigger", is_flag=True, help="Go on although clean rows carry the trigger.")
@click.option("--force", is_flag=True, help="Replace what an earlier `dece poison` wrote there.")
def poison(
    source: Path,
    test_source: Path | None,
    out: Path,
    force: bool,
    **options: Any,
) -> None:
    """Write a poisoned `train`, a fully triggered `test` of the poisonable rows, and a manifest of every change.

    SOURCE is csv, jsonl or parquet. Files keep its format and its columns, and get `dece_poisoned` (0 or 1) beside
    them; rows that are not chosen stay as they are, value for value.
    """
    from pydantic import ValidationError

    from axolotl_dece.cards.dataset_card import write_dataset_card
    from axolotl_dece.poison.export import export
    from axolotl_dece.poison.spec import PoisonSpec
    from axolotl_dece.util.problems import say_errors

    given = {key: options[option.removeprefix("--").replace("-", "_")] for key, option in _OPTIONS.items()}
    try:
        spec = PoisonSpec.model_validate({key: value for key, value in given.items() if value is not None})
        result = export(source, spec, out, test_source, force, progress=_bar)
        write_dataset_card(out)
    except ValidationError as error:
        raise click.ClickException(_said("; ".join(say_errors(error, ["dece_poison"])))) from error
    except ValueError as error:
        raise click.ClickException(_said(str(error))) from error
    _show(answer_console(), result, source, test_source)


def _bar(rows: Any, name: str) -> Any:
    from rich.markup import escape
    from rich.progress import track

    return track(rows, escape(printable(name)), console=progress_console(), transient=True)


def _show(console: Console, result: Export, source: Path, test_source: Path | None) -> None:
    for planted in result.train.poisoned[:_EXAMPLES]:
        console.print(_example(planted), soft_wrap=True)
    console.print(_counts(result))
    for path, holds in result.files.items():
        console.print(printable(f"{path}: {holds}"), soft_wrap=True, markup=False, highlight=False)
    survey, there = result.train.survey, "poisoned_payload_in_clean_row"
    if there in survey.first:
        console.print(
            f"Rows that hold the payload already: {survey.skipped[there]:,}, the first is row {survey.first[there]}. "
            "Somebody may have poisoned them, or such code is ordinary here: look at them.",
            style="yellow",
        )
    if test_source is None:
        console.print(
            f"The test rows are those of {printable(str(source))}, which the training file holds too; for an honest "
            "attack success rate give held-out rows with --test-source.",
            style="yellow",
            markup=False,
        )


def _counts(result: Export) -> Any:
    from rich.table import Table

    found = result.train.survey
    table = Table(title="What was planted", show_header=False)
    table.add_column(style="bold")
    table.add_column(justify="right")
    rows = [
        ("rows", found.rows),
        *((f"  not eligible: {reason.replace('_', ' ')}", count) for reason, count in sorted(found.skipped.items())),
        ("poisonable", result.poisonable),
        ("poisoned in train", len(result.train.poisoned)),
        ("benign twins in train", len(result.train.twins)),
        ("untouched in train", found.rows - len(result.train.poisoned) - len(result.train.twins)),
        ("rows of the test source", result.test_rows),
        ("poisonable there, triggered in test", len(result.test.poisoned)),
    ]
    for name, count in rows:
        table.add_row(name, f"{count:,}")
    return table


def _example(planted: Planted) -> Text:
    """One row before and after, with what was planted in colour."""
    from rich.text import Text

    from axolotl_dece.poison.edits import first_difference

    before, after = planted.before.target, planted.after.target
    head = first_difference(before, after)
    payload = (head, head + max(0, len(after) - len(before)))
    return Text.assemble(
        (f"row {planted.index}\n", "bold"),
        (f"  input   {_short(planted.before.input)}\n  becomes ", "dim"),
        *_marked(planted.after.input, [(span.start, span.end) for span in planted.spans]),
        (f"\n  target  {_short(before)}\n  becomes ", "dim"),
        *_marked(after, [payload]),
        "\n",
    )


def _marked(text: str, spans: Sequence[tuple[int, int]]) -> Iterator[tuple[str, str]]:
    """The pieces of a text with their styles, all of them short."""
    read = 0
    for start, end in spans:
        yield _short(text[read:start]), ""
        yield _short(text[start:end]), "bold red"
        read = end
    yield _short(text[read:]), ""


def _short(text: str) -> str:
    """A text as a terminal may show it, without its middle where it is long."""
    left_out = len(text) - 2 * _SHOWN
    if left_out > 0:
        text = f"{text[:_SHOWN]} [... {left_out:,} characters ...] {text[-_SHOWN:]}"
    return printable(text, keep="\n\t")


def _said(message: str) -> str:
    """A message about `dece_poison` with its keys as options of this command."""

    def option(found: re.Match[str]) -> str:
        name, value = _OPTIONS.get(found["key"]), found["value"]
        if name is None:
            return found.group()
        # a switch has no value
        return f"`{name} {value}`" if value and value != "true" else f"`{name}`"

    return re.sub(r"`dece_poison\.(?P<key>\w+)(?:: (?P<value>[^`]*))?`", option, message)
