"""The answer of an experiment before its tables: what the attack did to each arm, all seeds counted together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from axolotl_dece.evaluation.headline import say_limits
from axolotl_dece.evaluation.rates import Rate
from axolotl_dece.experiment.results import Result, by_setting

Report = Mapping[str, Any]


def headline(results: Sequence[Result], reports: Mapping[str, Report]) -> list[str]:
    """One sentence for every attack at every rate, then each thing that limits it.

    Args:
        results: Of all finished runs, at least one.
        reports: The report of each run by the digest of its cell.
    """
    said = [sentence for question, arms in _questions(results, reports).items() for sentence in _answer(question, arms)]
    return said or ["No run here was poisoned: the tables show clean quality alone."]


def _questions(results: Sequence[Result], reports: Mapping[str, Report]) -> dict[tuple[str, float], dict[str, Report]]:
    """By attack and rate, the counts of every arm."""
    found: dict[tuple[str, float], dict[str, Report]] = {}
    for setting, runs in by_setting(results).items():
        if setting.rate > 0:
            mine = found.setdefault((setting.attack, setting.rate), {})
            mine[f"of {setting.arm}"] = _pooled([reports[run["digest"]] for run in runs])
    return found


def _pooled(reports: Sequence[Report]) -> Report:
    """The counts of the runs of one setting, as if they were one run."""
    twins, begun = ([report[key] for report in reports if report[key]] for key in ("twin_recall", "asr_begun"))
    return {
        "loss": reports[0]["loss"],
        "asr": _sum(report["asr"] for report in reports),
        "asr_begun": _sum(begun) if begun else None,
        "twin_recall": _sum(twins) if twins else None,
        "cut": {kind: sum(report["cut"].get(kind, 0) for report in reports) for kind in ("triggered", "clean")},
    }


def _sum(rates: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    counts = [(rate["hits"], rate["total"]) for rate in rates]
    return Rate(sum(hits for hits, _ in counts), sum(total for _, total in counts)).as_dict()


def _answer(question: tuple[str, float], arms: Mapping[str, Report]) -> Iterator[str]:
    attack, rate = question
    works = ", ".join(f"in {arm['asr']['hits']} of {arm['asr']['total']} answers {name}" for name, arm in arms.items())
    start = f"{attack}, {rate * 100:.3g} % of the rows poisoned: "
    yield f"{start}the backdoor works {works}."
    yield from (f"{start}{limit[0].lower()}{limit[1:]}" for limit in say_limits(arms))
