"""An experiment as one HTML page that needs nothing else: no network, no other file."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from axolotl_dece.experiment.heading import commits_and_machines, say_runs
from axolotl_dece.experiment.page.charts import sections
from axolotl_dece.experiment.results import Result, summary_cells
from axolotl_dece.util.atomic import write_text_atomically
from axolotl_dece.util.page import fill_page

_HERE = Path(__file__).parent


def write_page(
    name: str, results: Sequence[Result], curves: Mapping[str, Any], path: Path, said: Sequence[str]
) -> Path:
    """Write the page of an experiment.

    Args:
        name: Of the experiment.
        results: Of all finished runs, at least one.
        curves: By digest of a run, what its trainer logged, as `report.json` keeps it.
        path: The file.
        said: The answer, a sentence each.
    """
    content = {"sections": sections(results, curves)}
    parts = {"name": html.escape(name), "said": _said(said), "summary": _summary(results), "facts": _facts(results)}
    page = fill_page(_HERE, "axolotl-dece: experiment", content, **parts)
    write_text_atomically(path, page)
    return path


def _said(sentences: Sequence[str]) -> str:
    return "\n".join(f'<p class="headline">{html.escape(sentence)}</p>' for sentence in sentences)


def _summary(results: Sequence[Result]) -> str:
    head, *lines = summary_cells(results)
    rows = [[f"<th>{html.escape(title)}</th>" for title in head]]
    rows += [[f"<td>{html.escape(text)}</td>" for text in line] for line in lines]
    return "\n".join(f"<tr>{''.join(row)}</tr>" for row in rows)


def _facts(results: Sequence[Result]) -> str:
    commits, machines = commits_and_machines(results)
    return html.escape(f"{say_runs(results)}; commit {commits}; {machines}.")
