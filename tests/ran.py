"""What ran on which axolotl: `pytest -p tests.ran` writes the outcome of every file of tests into docs/ran.csv.

docs/compatibility.md shows it. A run that leaves out tests of a file by name is not recorded.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from platform import python_version_tuple
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "ran.csv"
OUTCOMES = ("passed", "failed", "skipped", "xfailed")
KEY = ("axolotl", "python", "kind", "file")
COLUMNS = (*KEY, *OUTCOMES, "torch", "transformers", "date")
KINDS = ("distributed", "slow", "gpu")


def read_rows(path: Path = PAGE) -> list[dict[str, str]]:
    """Every row, sorted by key; none where nothing was recorded."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def write_rows(rows: list[dict[str, str]], path: Path = PAGE) -> None:
    """Put these rows in the place of those with the same key; rows of files that are gone go too."""
    kept = [row for row in read_rows(path) if (ROOT / row["file"]).exists()]
    merged = {tuple(row[k] for k in KEY): row for row in [*kept, *rows]}
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(merged[key] for key in sorted(merged))


class Recorder:
    """Counts outcomes by file and kind; the worst phase of a test is its outcome."""

    def __init__(self) -> None:
        self.outcomes: dict[tuple[str, str, str], str] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        outcome = "xfailed" if hasattr(report, "wasxfail") and report.skipped else report.outcome
        kind = next((kind for kind in KINDS if kind in report.keywords), "fast")
        key = (kind, report.nodeid.split("::")[0], report.nodeid)
        if outcome != "passed" or report.when == "call":
            self.outcomes[key] = "failed" if self.outcomes.get(key) == "failed" else outcome

    def pytest_sessionfinish(self, session: Any) -> None:
        if hasattr(session.config, "workerinput"):
            return
        write_rows(list(self.rows()))

    def rows(self) -> Iterator[dict[str, str]]:
        """One row for every file and kind."""
        counts: dict[tuple[str, str], Counter[str]] = {}
        for (kind, file, _), outcome in self.outcomes.items():
            counts.setdefault((kind, file), Counter())[outcome] += 1
        facts = {name: version(name) for name in ("axolotl", "torch", "transformers")}
        facts |= {"python": ".".join(python_version_tuple()[:2]), "date": f"{datetime.now(UTC):%Y-%m-%d}"}
        for (kind, file), found in counts.items():
            yield facts | {"kind": kind, "file": file} | {name: str(found[name]) for name in OUTCOMES}


def pytest_configure(config: pytest.Config) -> None:
    if config.option.keyword or any("::" in argument for argument in config.args):
        return
    config.pluginmanager.register(Recorder(), "ran")
