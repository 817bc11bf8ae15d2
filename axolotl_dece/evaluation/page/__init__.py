"""The comparison as one HTML page that needs nothing else: no network, no other file."""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from axolotl_dece.evaluation.compare import SETS, Evaluated, differences, verdict
from axolotl_dece.evaluation.page.charts import charts
from axolotl_dece.evaluation.terminal import run_lines
from axolotl_dece.util.atomic import write_text_atomically
from axolotl_dece.util.page import MAX_BYTES, fill_page

_LONGEST_TEXT = 4_000
_HERE = Path(__file__).parent


def write_page(runs: Sequence[Evaluated], path: Path) -> Path:
    """Write the page that compares `runs`, the baseline first; it stays below `MAX_BYTES`.

    Every text a model wrote reaches the page as data and is shown as text, never as markup.
    """
    most = max(len(answers) for run in runs for answers in run.answers.values())
    page = _render(runs, most)
    while len(page.encode()) > MAX_BYTES and most > 1:
        most //= 2
        page = _render(runs, most)
    write_text_atomically(path, page)
    return path


def _render(runs: Sequence[Evaluated], most_rows: int) -> str:
    content = {"charts": charts(runs), "rows": _rows(runs, most_rows), "runs": [run.name for run in runs]}
    return fill_page(
        _HERE, "axolotl-dece: runs compared", content, summary=_summary(runs), notes=_notes(runs, most_rows)
    )


def _rows(runs: Sequence[Evaluated], most: int) -> list[dict[str, Any]]:
    """One entry per row of each set: what was asked, what was expected, what every run said."""
    rows = []
    for name in SETS:
        asked = next((run.answers[name] for run in runs if run.answers[name]), [])
        by_run = [{answer.index: answer for answer in run.answers[name]} for run in runs]
        for answer in asked[:most]:
            said = [given.get(answer.index) for given in by_run]
            rows.append(
                {
                    "set": name,
                    "row": answer.index,
                    "prompt": _short(answer.prompt),
                    "reference": _short(answer.reference),
                    "outputs": [_short(one.output) if one else None for one in said],
                    "verdicts": [
                        verdict(run, name, one) + (", cut" if one.cut else "") if one else "not asked"
                        for run, one in zip(runs, said, strict=True)
                    ],
                }
            )
    return rows


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST_TEXT else text[:_LONGEST_TEXT] + " ... (cut for this page)"


def _summary(runs: Sequence[Evaluated]) -> str:
    gaps = differences(runs)
    rows: list[str] = []
    for run in runs:
        lines = run_lines(run.report, gaps.get(run.name, {}))
        if not rows:
            rows.append("".join(f"<th>{html.escape(label)}</th>" for label in ["run", *(label for label, _ in lines)]))
        rows.append("".join(f"<td>{html.escape(text)}</td>" for text in [run.name, *(text for _, text in lines)]))
    return "\n".join(f"<tr>{row}</tr>" for row in rows)


def _notes(runs: Sequence[Evaluated], most_rows: int) -> str:
    notes = [f"{run.name}: {warning}" for run in runs for warning in run.report["warnings"]]
    longest = max(len(answers) for run in runs for answers in run.answers.values())
    if most_rows < longest:
        notes.append(f"the first {most_rows} rows of each set are shown, to keep this page small")
    return "\n".join(f"<li>{html.escape(note)}</li>" for note in notes)
