"""What a reader of a report is told, as data: the same numbers as the tables, each rate with what it is a rate of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from axolotl_dece.evaluation.rates import Difference

_SAID = (
    *("base", "adapter", "loss", "alpha_last", "payload", "asr", "asr_excluded", "asr_begun", "untriggered"),
    *("false_triggers", "false_triggers_begun", "twin_recall", "clean", "cut", "warnings"),
)


def summary(report: Mapping[str, Any]) -> dict[str, Any]:
    """The numbers of one run, under their names in report.json."""
    return {name: report[name] for name in _SAID}


def summary_of_all(
    reports: Mapping[str, Mapping[str, Any]], differences: Mapping[str, Mapping[str, Difference]]
) -> list[dict[str, Any]]:
    """The numbers of several runs.

    Args:
        reports: By name of the run, the baseline first.
        differences: Each other run minus the baseline, as `compare.differences` gives them.
    """
    return [
        {"name": name, **summary(report)}
        | {"differences": {key: asdict(gap) for key, gap in differences.get(name, {}).items()}}
        for name, report in reports.items()
    ]
