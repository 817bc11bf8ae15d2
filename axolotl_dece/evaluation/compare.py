"""Several runs side by side: what differs, by how much, and in which rows. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from axolotl_dece.evaluation.answer_table import AnswerTable, read_table
from axolotl_dece.evaluation.answers import Answer, read_answers
from axolotl_dece.evaluation.rates import Difference, Table, paired_score_difference, paired_share_difference
from axolotl_dece.evaluation.report_file import answers_file, read_report
from axolotl_dece.evaluation.verdict import CLEAN, SETS, TRIGGERED


@dataclass(frozen=True)
class Evaluated:
    """One evaluated run: its name in the comparison, its report and where its answers lie."""

    name: str
    folder: Path
    report: dict[str, Any]

    @cached_property
    def tables(self) -> dict[str, AnswerTable]:
        """The verdicts by set, of the answers that the report counted.

        Raises:
            ValueError: If they are not all there.
        """
        return {name: self._table(name) for name in SETS if name in self.report["files"]}

    def answers(self, name: str, until: int | None = None) -> Iterator[Answer]:
        """The answers to a set, in the order they were given, of rows whose place is before `until`."""
        file, limit = self.report["files"][name], self.report["settings"]["limit"]
        ends = [end for end in (limit, until) if end is not None]
        for answer in read_answers(answers_file(self.folder, name), file["answers"]):
            if not ends or answer.index < min(ends):
                yield answer

    @cached_property
    def bleu_counts(self) -> Table:
        """What BLEU counts of each clean answer, by place."""
        from axolotl_dece.evaluation.quality import bleu_counts

        places: list[int] = []

        def texts() -> Iterator[tuple[str, str]]:
            for answer in self.answers(CLEAN):
                places.append(answer.index)
                yield answer.output, answer.reference

        counts = bleu_counts(texts())
        return counts[np.argsort(places, kind="stable")]

    def _table(self, name: str) -> AnswerTable:
        file = self.report["files"][name]
        path = answers_file(self.folder, name)
        table = read_table(path, file["answers"], self.report["settings"]["limit"])
        if len(table) != file["rows"]:
            raise ValueError(
                f"{path} holds {len(table)} answers, but the report beside it counted {file['rows']}; "
                "evaluate that run again: what is there is kept, and the rest is asked"
            )
        return table


def load_runs(folders: Sequence[Path]) -> list[Evaluated]:
    """Evaluated runs from the folders `axolotl dece evaluate --out` wrote, named by folder.

    Raises:
        ValueError: If a folder holds no finished evaluation, or one run is given twice.
    """
    if len({folder.resolve() for folder in folders}) < len(folders):
        raise ValueError("the same run is given twice; each can be compared with others only")
    names = _names(folders)
    runs = [Evaluated(name, folder, read_report(folder)) for name, folder in zip(names, folders, strict=True)]
    for run in runs:
        _ = run.tables  # whatever is wrong with the answers is said now
    return runs


def _names(folders: Sequence[Path]) -> list[str]:
    """The shortest ends of the paths that tell the folders apart."""
    parts = [folder.resolve().parts for folder in folders]
    for length in range(1, max(map(len, parts)) + 1):
        names = ["/".join(part[-length:]) for part in parts]
        if len(set(names)) == len(names):
            return names
    return [str(folder) for folder in folders]


def differences(runs: Sequence[Evaluated]) -> dict[str, dict[str, Difference]]:
    """Each run minus the first, with intervals by paired bootstrap, where both answered the same rows.

    Returns:
        By name of the run: `asr` and `exact_match` (shares), `bleu` (points); what cannot be paired is left out.
    """
    first = runs[0]
    found: dict[str, dict[str, Difference]] = {}
    for run in runs[1:]:
        gaps: dict[str, Difference] = {}
        if not why_unpaired(first, run, TRIGGERED):
            counted = first.tables[TRIGGERED].eligible
            pair = (one.tables[TRIGGERED].payload[counted] for one in (first, run))
            gaps["asr"] = paired_share_difference(*pair)
        if not why_unpaired(first, run, CLEAN):
            gaps["exact_match"] = paired_share_difference(*(one.tables[CLEAN].exact for one in (first, run)))
            gaps["bleu"] = _bleu_difference(first, run)
        found[run.name] = gaps
    return found


def why_unpaired(first: Evaluated, run: Evaluated, name: str) -> str | None:
    """Why two runs cannot be subtracted row by row on a set; None where they can."""
    files = [one.report["files"].get(name) for one in (first, run)]
    if not all(files):
        return "one of them was not asked"
    if files[0]["sha256"] != files[1]["sha256"]:
        return "they were asked from different files"
    one, other = first.tables[name], run.tables[name]
    if not np.array_equal(one.index, other.index):
        return f"they were asked different rows of the file ({len(one)} and {len(other)})"
    if not np.array_equal(one.reference, other.reference):
        return "their references were read differently"
    if name == TRIGGERED and first.report["payload"] != run.report["payload"]:
        return f"different payloads were looked for (`{first.report['payload']}`, `{run.report['payload']}`)"
    if name == TRIGGERED and not np.array_equal(one.eligible, other.eligible):
        return "different rows count: was one of them evaluated with `--planted`, the other without?"
    return None


def unpaired_notes(runs: Sequence[Evaluated]) -> list[str]:
    """A sentence for each set on which a run has no difference to the first, and for each that was asked otherwise."""
    return [
        f"no difference between {runs[0].name} and {run.name} on the {name} rows: {reason}"
        for run in runs[1:]
        for name in (TRIGGERED, CLEAN)
        if (reason := why_unpaired(runs[0], run, name))
    ] + [
        f"{runs[0].name} and {run.name} were not evaluated alike ({gap}): a part of their difference may come from that"
        for run in runs[1:]
        if (gap := _other_settings(runs[0], run))
    ]


def _other_settings(first: Evaluated, run: Evaluated) -> str:
    """The settings that both reports tell and that differ, by their options; other rows are said by `why_unpaired`."""
    one, other = first.report["settings"], run.report["settings"]
    return ", ".join(
        f"`--{name.replace('_', '-')}` {one[name]} and {other[name]}"
        for name in ("max_new_tokens", "precision", "language")
        if name in one and name in other and one[name] != other[name]
    )


def _bleu_difference(first: Evaluated, run: Evaluated) -> Difference:
    from axolotl_dece.evaluation.quality import bleu_of

    return paired_score_difference(first.bleu_counts, run.bleu_counts, bleu_of)
