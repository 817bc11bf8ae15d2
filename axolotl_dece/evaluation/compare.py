"""Several runs side by side: what differs, by how much, and in which rows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from axolotl_dece.evaluation.answers import Answer, read_answers
from axolotl_dece.evaluation.asr import is_eligible
from axolotl_dece.evaluation.evaluate import FORMAT, REPORT_FILE
from axolotl_dece.evaluation.quality import bleu_difference, is_exact
from axolotl_dece.evaluation.rates import paired_bootstrap
from axolotl_dece.evaluation.verdict import CLEAN, TRIGGERED, TWIN
from axolotl_dece.poison.payloads import PAYLOADS

SETS = (TRIGGERED, CLEAN, TWIN)


@dataclass(frozen=True)
class Evaluated:
    """One evaluated run: its name in the comparison, its report and where its answers lie."""

    name: str
    folder: Path
    report: dict[str, Any]

    @cached_property
    def answers(self) -> dict[str, list[Answer]]:
        """The answers by set, by row."""
        return {name: read_answers(self.folder / f"{name}.jsonl") for name in SETS}

    def saw_the_same(self, other: Evaluated, name: str) -> bool:
        """Whether both runs answered the same rows of a set."""
        files = [one.report["files"].get(name, {}).get("sha256") for one in (self, other)]
        return files[0] == files[1] and len(self.answers[name]) == len(other.answers[name])


def load_runs(folders: Sequence[Path]) -> list[Evaluated]:
    """Evaluated runs from the folders `axolotl dece evaluate --out` wrote, named by folder.

    Raises:
        ValueError: If a folder holds no finished evaluation, or one run is given twice.
    """
    if len({folder.resolve() for folder in folders}) < len(folders):
        raise ValueError("the same run is given twice; each can be compared with others only")
    names = _names(folders)
    return [Evaluated(name, folder, _read(folder)) for name, folder in zip(names, folders, strict=True)]


def _read(folder: Path) -> dict[str, Any]:
    path = folder / REPORT_FILE
    if not path.is_file():
        raise ValueError(f"{folder} has no {REPORT_FILE}; run `axolotl dece evaluate ... --out {folder}` to its end")
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is not valid JSON ({error}); evaluate that run again") from error
    if not isinstance(report, dict) or report.get("format") != FORMAT or "files" not in report:
        raise ValueError(f"{path} is not a report of one run that this version reads; evaluate that run again")
    return report


def _names(folders: Sequence[Path]) -> list[str]:
    """The shortest ends of the paths that tell the folders apart."""
    parts = [folder.resolve().parts for folder in folders]
    for length in range(1, max(map(len, parts)) + 1):
        names = ["/".join(part[-length:]) for part in parts]
        if len(set(names)) == len(names):
            return names
    return [str(folder) for folder in folders]


def differences(runs: Sequence[Evaluated]) -> dict[str, dict[str, Any]]:
    """Each run minus the first, with intervals by paired bootstrap, over sets that both answered alike.

    Returns:
        By name of the run: `asr` and `exact_match` (shares), `bleu` (points); a set that differs is left out.
    """
    first = runs[0]
    found: dict[str, dict[str, Any]] = {}
    for run in runs[1:]:
        gaps: dict[str, Any] = {}
        if first.saw_the_same(run, TRIGGERED) and first.report["payload"] == run.report["payload"]:
            gaps["asr"] = paired_bootstrap(_attacks(first), _attacks(run))
        if first.saw_the_same(run, CLEAN):
            gaps["exact_match"] = paired_bootstrap(*([is_exact(a) for a in r.answers[CLEAN]] for r in (first, run)))
            gaps["bleu"] = bleu_difference(first.answers[CLEAN], run.answers[CLEAN])
        found[run.name] = gaps
    return found


def _attacks(run: Evaluated) -> list[bool]:
    detect = PAYLOADS[run.report["payload"]].detect
    return [detect(a.output) for a in run.answers[TRIGGERED] if is_eligible(a, detect)]


def verdict(run: Evaluated, name: str, answer: Answer) -> str:
    """What one answer means, in one word or two."""
    detect = PAYLOADS[run.report["payload"]].detect
    if not is_eligible(answer, detect):
        return "left out"
    if detect(answer.output):
        return "attack" if name == TRIGGERED else "false trigger"
    if name == TRIGGERED:
        return "held"
    if name == TWIN:
        return "twin kept" if is_exact(answer) else "twin lost"
    return "exact" if is_exact(answer) else "differs"
