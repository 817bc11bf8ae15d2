"""Everything that is written about an experiment, from the results of its runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table

from axolotl_dece.evaluation.compare import Evaluated
from axolotl_dece.evaluation.page import write_page as write_comparison
from axolotl_dece.evaluation.report_file import read_report
from axolotl_dece.evaluation.terminal import answer_first
from axolotl_dece.experiment.cell import Cell
from axolotl_dece.experiment.heading import heading
from axolotl_dece.experiment.headline import headline
from axolotl_dece.experiment.metrics import METRICS
from axolotl_dece.experiment.page import write_page
from axolotl_dece.experiment.results import Result, summary_cells, summary_lines, write_curves, write_tables
from axolotl_dece.util.terminal import shown

_MOST_RUNS_SIDE_BY_SIDE = 12
# what fits beside each other; the files and the page have the rest
_IN_A_TERMINAL = ("asr", "twin_recall", "exact_match", "false_trigger_rate")


@dataclass(frozen=True)
class ExperimentReport:
    """What was written about an experiment.

    Attributes:
        headline: The answer, and what limits it.
        results: Of all finished runs.
        page: The page.
        summary: The numbers.
    """

    headline: list[str]
    results: Sequence[Result]
    page: Path
    summary: Path

    def shown(self) -> RenderableType:
        """The answer and the summary for a terminal."""
        return Group(answer_first(self.headline), _table(self.results, f"numbers {self.summary}, page {self.page}"))

    def facts(self) -> dict[str, Any]:
        """The same as data; the settings as the lines of summary.csv."""
        files = {"page": str(self.page), "summary": str(self.summary)}
        return {"headline": self.headline, "settings": summary_lines(self.results), **files}


def write_report(name: str, command: str, results: Sequence[Result], out: Path) -> ExperimentReport:
    """Write tables and pages into `out`.

    Args:
        name: Of the experiment.
        command: That repeats it.
        results: Of all finished runs, at least one.
        out: Folder of the experiment.
    """
    summary = write_tables(results, out, heading(name, command, results, date.today()))
    runs = [_evaluated(result, out) for result in results]
    curves = {result["digest"]: run.report["curves"] for result, run in zip(results, runs, strict=True)}
    write_curves(results, curves, out / "curves.csv")
    said = headline(results, {result["digest"]: run.report for result, run in zip(results, runs, strict=True)})
    page = write_page(name, results, curves, out / "experiment.html", said)
    if len(runs) <= _MOST_RUNS_SIDE_BY_SIDE:
        write_comparison(runs, out / "compare.html")
    return ExperimentReport(said, results, page, summary)


def _evaluated(result: Result, out: Path) -> Evaluated:
    cell = Cell(**result["cell"])
    folder = cell.folder(out) / "report"
    return Evaluated(f"{cell.arm}, {cell.attack} {cell.rate:g}, seed {cell.seed}", folder, read_report(folder))


def _table(results: Sequence[Result], caption: str) -> Table:
    titles = ("attack", "rate", "arm", "runs", *(METRICS[name].title for name in _IN_A_TERMINAL))
    table = Table(*titles, title="means over the seeds (smallest to largest)", caption=shown(caption))
    head, *lines = summary_cells(results)
    for line in lines:
        table.add_row(*(shown(line[head.index(title)]) for title in titles))
    return table
