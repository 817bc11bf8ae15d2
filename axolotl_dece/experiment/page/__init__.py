"""An experiment as one HTML page that needs nothing else: no network, no other file."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from axolotl_dece.experiment.metrics import METRICS
from axolotl_dece.experiment.page.charts import sections
from axolotl_dece.experiment.results import Result, by_setting, say, spreads
from axolotl_dece.manifest import write_text_atomically
from axolotl_dece.webpage import fill_page

_HERE = Path(__file__).parent


def write_page(name: str, results: Sequence[Result], curves: Mapping[str, Any], path: Path) -> Path:
    """Write the page of an experiment.

    Args:
        name: Of the experiment.
        results: Of all finished runs, at least one.
        curves: By digest of a run, what its trainer logged, as `report.json` keeps it.
        path: The file.
    """
    content = {"sections": sections(results, curves)}
    page = fill_page(_HERE, content, name=html.escape(name), summary=_summary(results), facts=_facts(results))
    write_text_atomically(path, page)
    return path


def _summary(results: Sequence[Result]) -> str:
    head = ["attack", "rate", "arm", "runs", *(metric.title for metric in METRICS.values())]
    lines = ["".join(f"<th>{html.escape(title)}</th>" for title in head)]
    for setting, runs in by_setting(results).items():
        cells = [setting.attack, f"{setting.rate:.3g}", setting.arm, str(len(runs))]
        cells += [say(name, spread) for name, spread in spreads(runs).items()]
        lines.append("".join(f"<td>{html.escape(text)}</td>" for text in cells))
    return "\n".join(f"<tr>{line}</tr>" for line in lines)


def _facts(results: Sequence[Result]) -> str:
    made = [result["made_by"] for result in results]
    commits = dict.fromkeys(str(one["commit"] or "no checkout") for one in made)
    machines = dict.fromkeys(one["machine"] for one in made)
    return html.escape(f"{len(results)} runs; commit {' and '.join(commits)}; {' and '.join(machines)}.")
