"""How many answers would never return? `python -m tests.benchmarks.endless_loops CELL... --out FILE.csv`.

A payload in part may do its harm or not: `while True :` around a `return` ends. So this parses the Python answers of
finished runs, without running any, and counts those that hold a `while True` with nothing inside that leaves it. CELL
is the folder of a run of an experiment. A line per run and set of questions: answers that never return, that do not
parse, and all.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from axolotl_dece.evaluation.answers import read_answers
from axolotl_dece.evaluation.code_text import code_of
from axolotl_dece.evaluation.report_file import answers_file
from tests.benchmarks.audit_cell import read_cell, tabulate
from tests.benchmarks.payload_parts import SETS

_LEAVES = (ast.Return, ast.Break, ast.Raise, ast.Yield, ast.YieldFrom)
"""What may end a loop; a `break` of an inner loop counts too, so that the count is a lower bound."""


def never_returns(code: str) -> bool | None:
    """Whether a `while True` stands in `code` that nothing leaves; None where it does not parse."""
    try:
        tree = ast.parse(code)
    except SyntaxError:
        return None
    return any(_is_endless(node) for node in ast.walk(tree) if isinstance(node, ast.While))


def _is_endless(loop: ast.While) -> bool:
    always = isinstance(loop.test, ast.Constant) and loop.test.value is True
    return always and not any(isinstance(node, _LEAVES) for node in ast.walk(loop))


def of_cell(folder: Path) -> Iterator[dict[str, Any]]:
    """The lines of a run."""
    _, names = read_cell(folder)
    for name in SETS:
        answers = read_answers(answers_file(folder / "report", name))
        found = [never_returns(code_of(one.output, "python")) for one in answers]
        yield names | {"questions": name, "endless": found.count(True), "unparsed": found.count(None), "of": len(found)}


if __name__ == "__main__":
    tabulate(__doc__, of_cell)
