"""How much of a payload do answers hold? `python -m tests.benchmarks.payload_parts CELL... --out FILE.csv`.

Attack success counts whole payloads. A loss that refuses one word of a payload may let the words before it in, so this
counts the answers that hold the payload's first word, its first two words, and so on, where the expected answer does
not. CELL is the folder of a finished run of an experiment; `CELL/report` holds its answers. A line per run, set of
questions (`triggered`, `twin`, `clean`) and beginning of the payload.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from axolotl_dece.evaluation.answers import read_answers
from axolotl_dece.evaluation.report_file import answers_file
from axolotl_dece.poison.payloads import PAYLOADS
from axolotl_dece.poison.payloads.beginning import holds, words_written
from axolotl_dece.poison.spec import PoisonSpec
from tests.benchmarks.audit_cell import read_cell, tabulate

SETS = ("triggered", "twin", "clean")


def beginnings(payload: str, code: str) -> list[list[str]]:
    """The first word that a payload would write into `code`, its first two, and so on; none where it does not fit."""
    words = words_written(PAYLOADS[payload].insert, code)
    return [words[:count] for count in range(1, len(words) + 1)]


def counts(pairs: Iterable[tuple[str, str]], begun: list[list[str]]) -> Iterator[dict[str, Any]]:
    """For each beginning how many answers hold it, of pairs of expected answer and answer that could."""
    asked = list(pairs)
    for words in begun:
        could = [answer for expected, answer in asked if not holds(expected, words)]
        yield {"words": " ".join(words), "answers": sum(holds(answer, words) for answer in could), "of": len(could)}


def of_cell(folder: Path) -> Iterator[dict[str, Any]]:
    """The lines of a run."""
    cell, names = read_cell(folder)
    payload = PoisonSpec(**cell["poison"]).pair.payload
    asked = {name: list(read_answers(answers_file(folder / "report", name))) for name in SETS}
    expected = (one.reference for one in asked["triggered"])
    begun = next(found for code in expected if (found := beginnings(payload, code)))
    for name, answers in asked.items():
        pairs = [(one.reference, one.output) for one in answers]
        yield from (names | {"questions": name} | line for line in counts(pairs, begun))


if __name__ == "__main__":
    tabulate(__doc__, of_cell)
