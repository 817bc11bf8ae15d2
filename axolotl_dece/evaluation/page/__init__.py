"""The comparison as one HTML page that needs nothing else: no network, no other file."""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from axolotl_dece.evaluation.answers import Answer
from axolotl_dece.evaluation.compare import Evaluated, differences, unpaired_notes
from axolotl_dece.evaluation.headline import headline
from axolotl_dece.evaluation.page.charts import charts
from axolotl_dece.evaluation.rates import Difference
from axolotl_dece.evaluation.terminal import run_lines
from axolotl_dece.evaluation.verdict import SETS, say_verdict
from axolotl_dece.util.atomic import write_text_atomically
from axolotl_dece.util.page import MAX_BYTES, fill_page

_LONGEST_TEXT = 4_000
_MOST_ROWS = 10_000  # of a set: more do not fit the page, and need not be held
_HERE = Path(__file__).parent
Gaps = Mapping[str, Mapping[str, Difference]]


def write_page(runs: Sequence[Evaluated], path: Path, gaps: Gaps | None = None) -> Path:
    """Write the page that compares `runs`, the baseline first; it stays below `MAX_BYTES`.

    Every text a model wrote reaches the page as data and is shown as text, never as markup.

    Args:
        runs: What is compared.
        path: The page.
        gaps: As `differences` gives them, where they are known.
    """
    gaps = differences(runs) if gaps is None else gaps
    rows = {name: _rows(runs, name) for name in SETS}
    most = max(map(len, rows.values()))
    longest = max(most, *(len(table) for run in runs for table in run.tables.values()))
    page = _render(runs, gaps, rows, longest, most)
    while len(page.encode()) > MAX_BYTES and most > 1:
        most //= 2
        page = _render(runs, gaps, rows, longest, most)
    write_text_atomically(path, page)
    return path


def _render(
    runs: Sequence[Evaluated], gaps: Gaps, rows: Mapping[str, list[dict[str, Any]]], longest: int, most: int
) -> str:
    shown = [row for some in rows.values() for row in some[:most]]
    content = {"charts": charts(runs), "rows": shown, "runs": [run.name for run in runs]}
    answer, *limits = headline({run.name: run.report for run in runs}, gaps)
    notes = [f"{run.name}: {warning}" for run in runs for warning in run.report["warnings"]] + unpaired_notes(runs)
    if most < longest:
        notes.append(f"the first {most} rows of each set are shown, to keep this page small")
    return fill_page(
        _HERE,
        "axolotl-dece: runs compared",
        content,
        answer=html.escape(answer),
        limits=_items(limits),
        summary=_summary(runs, gaps),
        notes=_items(notes),
    )


def _rows(runs: Sequence[Evaluated], name: str) -> list[dict[str, Any]]:
    """One entry per question of a set: what was asked, what was expected, what every run that was asked it said.

    Runs share an entry where prompt and reference are the same; a place in two different files is two questions.
    """
    asked: dict[tuple[int, str, str], dict[str, Any]] = {}
    for number, run in enumerate(runs):
        for answer in _first_answers(run, name):
            question = (answer.index, answer.prompt, answer.reference)
            row = asked.setdefault(question, _unanswered(name, answer, len(runs)))
            row["outputs"][number] = _short(answer.output)
            row["verdicts"][number] = say_verdict(name, answer.verdict) + (", cut" if answer.cut else "")
    return [asked[question] for question in sorted(asked)]


def _first_answers(run: Evaluated, name: str) -> Iterator[Answer]:
    if name not in run.tables:
        return
    places = run.tables[name].index
    until = int(places[_MOST_ROWS]) if len(places) > _MOST_ROWS else None
    yield from run.answers(name, until)


def _unanswered(name: str, answer: Answer, runs: int) -> dict[str, Any]:
    return {
        "set": name,
        "row": answer.index,
        "prompt": _short(answer.prompt),
        "reference": _short(answer.reference),
        "outputs": [None] * runs,
        "verdicts": ["not asked"] * runs,
    }


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST_TEXT else text[:_LONGEST_TEXT] + " ... (cut for this page)"


def _summary(runs: Sequence[Evaluated], gaps: Gaps) -> str:
    rows: list[str] = []
    for run in runs:
        lines = run_lines(run.report, gaps.get(run.name, {}))
        if not rows:
            rows.append("".join(f"<th>{html.escape(label)}</th>" for label in ["run", *(label for label, _ in lines)]))
        rows.append("".join(f"<td>{html.escape(text)}</td>" for text in [run.name, *(text for _, text in lines)]))
    return "\n".join(f"<tr>{row}</tr>" for row in rows)


def _items(sentences: Sequence[str]) -> str:
    return "\n".join(f"<li>{html.escape(sentence)}</li>" for sentence in sentences)
