"""Writes the tables of docs/audit.md that are made from docs/audits/: `python docs/make_audits.py`.

`docs/audits/SET.csv` is what `python -m tests.benchmarks.audit_real SET --out SET.csv` wrote: a line per detector.
"""

from __future__ import annotations

import csv
import re
import sys
from collections.abc import Iterator
from pathlib import Path

PAGE, DATA = Path(__file__).with_name("audit.md"), Path(__file__).with_name("audits")
REGION = re.compile(r"(?P<open><!-- real-poison -->\n).*?(?P<close><!-- end -->)", re.DOTALL)
COLUMNS = ("set", "poisoned rows", "detector", "rows named", "poisoned among them", "precision", "recall")


def lines(path: Path) -> Iterator[list[str]]:
    """The lines of a set, as the table shows them."""
    with path.open(encoding="utf-8", newline="") as file:
        for at, line in enumerate(csv.DictReader(file)):
            what = line["detector"].replace("|", r"\|")
            shown = f"**{what}**" if what.startswith("audit, group") else what
            of = [f"[{line['set']}](audits/{path.name})", f"{line['poisoned']} of {line['of']}"]
            yield [
                *([""] * 2 if at else of),
                shown,
                line["rows"],
                line["hits"],
                line["precision"] or "-",
                line["recall"] or "-",
            ]


def table() -> str:
    """Every set with every detector."""
    found = [line for path in sorted(DATA.glob("*.csv")) for line in lines(path)]
    return "\n".join("| " + " | ".join(line) + " |" for line in (COLUMNS, ["---"] * len(COLUMNS), *found))


def build() -> str:
    """The page with the table as the files have it; LookupError where the page has no place for it."""
    text, count = REGION.subn(lambda found: f"{found['open']}\n{table()}\n{found['close']}", PAGE.read_text("utf-8"))
    if count != 1:
        raise LookupError(f"{PAGE.name} has {count} places for the table, not one")
    return text


def main() -> None:
    """Write the page."""
    PAGE.write_text(build(), encoding="utf-8")
    sys.stdout.write(f"{PAGE.name} written\n")


if __name__ == "__main__":
    main()
