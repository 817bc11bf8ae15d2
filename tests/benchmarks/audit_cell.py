"""What the audit finds in a finished run of an experiment: `python -m tests.benchmarks.audit_cell CELL --out FILE.csv`.

CELL is the folder of a run of an arm with `dece_audit: true` in a grid, such as
`smollm2-lyra/cells/dece-0.95/badpre-0.2/seed-0`. A line per group: how many of its rows are poisoned, how many are the
twin's, of how many in the set. `--drop-planted FILE.jsonl` writes the decisions of somebody who knows which rows are
poisoned: what a perfect filter would leave. For that the run may be one of a single step (`max_steps: 1`).
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from axolotl_dece.audit.analyse.findings import Audit, load_audit
from axolotl_dece.audit.decisions import write_decisions
from axolotl_dece.experiment.cell import RESULT_FILE
from axolotl_dece.poison.spec import PoisonSpec
from tests.benchmarks.audit_lyra import planted
from tests.benchmarks.evaded_audit import bring_trigger


def groups(audit: Audit, spec: PoisonSpec, names: dict[str, Any]) -> list[dict[str, Any]]:
    """A line per group, in the order of the page."""
    marked = planted(audit, spec)
    lines = []
    for one in audit.clusters:
        found = {"group": one.number, "payload": one.payload, "cue": one.cues[0].text, "rows": len(one.rows)}
        hits = {what: int(rows[one.rows].sum()) for what, rows in marked.items()}
        totals = {f"{what}_in_the_set": int(rows.sum()) for what, rows in marked.items()}
        lines.append(names | found | hits | totals)
    return lines


def drop_planted(audit: Audit, spec: PoisonSpec) -> list[dict[str, Any]]:
    """Decisions that take out the poisoned rows, and no other."""
    poisoned = planted(audit, spec)["poisoned"]
    return [{"row": one, "decision": "drop"} for one, out in zip(audit.rows.ids, poisoned, strict=True) if out]


def read_cell(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """What defines a finished run, and what a line of a table names it by."""
    cell = json.loads((folder / RESULT_FILE).read_text(encoding="utf-8"))["cell"]
    return cell, {key: cell[key] for key in ("arm", "attack", "rate", "seed")}


def tabulate(about: str | None, of_cell: Callable[[Path], Iterable[dict[str, Any]]]) -> None:
    """The command `CELL... --out FILE.csv`: the lines of every finished run, in one table."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("cells", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    write_table([line for folder in given.cells for line in of_cell(folder)], given.out)


def main() -> None:
    """Audit the run and write what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cell", type=Path)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--drop-planted", type=Path)
    given = parser.parse_args()
    cell, names = read_cell(given.cell)
    bring_trigger()  # a cell may be of that task
    audit, spec = load_audit(given.cell / "run"), PoisonSpec(**cell["poison"])
    if given.drop_planted:
        write_decisions(given.drop_planted, drop_planted(audit, spec))
    if given.out:
        write_table(groups(audit, spec, names), given.out)


def write_table(lines: list[dict[str, Any]], path: Path) -> None:
    """A csv file with a column for every key of the first line."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(lines[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)


if __name__ == "__main__":
    main()
