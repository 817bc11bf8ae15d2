"""What stands above the numbers of an experiment: the command and all that decides whether they come out again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

_NAMED = ("axolotl-dece", "axolotl", "torch", "transformers", "peft")


def heading(name: str, command: str, results: Sequence[Mapping[str, Any]], today: date) -> str:
    """The heading of the summary, in Markdown.

    Args:
        name: Of the experiment.
        command: That repeats it.
        results: Of the finished runs; they may come from several commits or machines, and all are named.
        today: When the table was written.
    """
    made = [result["made_by"] for result in results]
    commits, machines = commits_and_machines(results)
    versions = _each(", ".join(f"{key} {one['versions'].get(key, '-')}" for key in _NAMED) for one in made)
    return "\n\n".join(
        (
            f"## Experiment `{name}`",
            f"    {command}",
            f"{say_runs(results)}, {today.isoformat()}; commit {commits}; {versions}; {machines}. Means over the "
            "seeds, in brackets the smallest and the largest where they differ.",
        )
    )


def commits_and_machines(results: Sequence[Mapping[str, Any]]) -> tuple[str, str]:
    """Every commit and every machine that the runs come from, each once."""
    made = [result["made_by"] for result in results]
    return _each(str(one["commit"] or "no checkout") for one in made), _each(one["machine"] for one in made)


def say_runs(results: Sequence[Mapping[str, Any]]) -> str:
    """How many runs there are, in words."""
    return "1 run" if len(results) == 1 else f"{len(results)} runs"


def _each(texts: Any) -> str:
    return " and ".join(dict.fromkeys(texts))
