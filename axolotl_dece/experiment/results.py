"""Results as tables: a line per run, and what the seeds of one setting have in common."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from scipy.stats import t

from axolotl_dece.evaluation.rates import CONFIDENCE
from axolotl_dece.experiment.metrics import COLUMNS, METRICS
from axolotl_dece.util.atomic import write_text_atomically

Result = Mapping[str, Any]

# columns of curves.csv, and where the trainer's history has them
WATCHED = {
    "step": "step",
    "alpha": "dece/alpha",
    "asr": "dece/monitor_asr",
    "twin": "dece/monitor_twin",
    "clean": "dece/monitor_clean",
}


@dataclass(frozen=True)
class Setting:
    """What all but the seed have in common."""

    arm: str
    attack: str
    rate: float


@dataclass(frozen=True)
class Spread:
    """One number over the seeds of a setting.

    Attributes:
        mean: Over the seeds.
        low: Lower end of Student's 95 % interval for the mean; None for a single seed.
        high: Upper end.
    """

    values: tuple[float, ...]
    mean: float
    low: float | None
    high: float | None

    @property
    def least(self) -> float:
        """The smallest value."""
        return min(self.values)

    @property
    def most(self) -> float:
        """The largest value."""
        return max(self.values)

    @classmethod
    def of(cls, values: Sequence[float], is_share: bool = False) -> Spread:
        """The spread of at least one value; the interval of a share is cut to 0 to 1."""
        mean = fmean(values)
        if len(values) < 2:
            return cls(tuple(values), mean, None, None)
        half = float(t.ppf((1 + CONFIDENCE) / 2, len(values) - 1)) * stdev(values) / math.sqrt(len(values))
        low, high = mean - half, mean + half
        return cls(tuple(values), mean, *((max(0.0, low), min(1.0, high)) if is_share else (low, high)))


def by_setting(results: Sequence[Result]) -> dict[Setting, list[Result]]:
    """The runs of each setting, settings in the order of their first run."""
    settings = list(dict.fromkeys(setting_of(result) for result in results))
    order = {setting: number for number, setting in enumerate(settings)}
    ordered = sorted(results, key=lambda result: order[setting_of(result)])
    return {setting: list(runs) for setting, runs in groupby(ordered, key=setting_of)}


def setting_of(result: Result) -> Setting:
    """Arm, attack and rate of a run."""
    cell = result["cell"]
    return Setting(cell["arm"], cell["attack"], cell["rate"])


def spreads(runs: Sequence[Result]) -> dict[str, Spread | None]:
    """Every metric over the seeds of one setting; None where no run has it."""
    found: dict[str, Spread | None] = {}
    for name, metric in METRICS.items():
        # a run of before a number was counted has none
        values = [value for run in runs if (value := run["metrics"].get(name)) is not None]
        found[name] = Spread.of(values, metric.is_share) if values else None
    return found


def write_tables(results: Sequence[Result], out: Path, heading: str) -> Path:
    """Write results.csv, summary.csv and summary.md.

    Args:
        results: Of all finished runs, at least one.
        out: Folder of the experiment.
        heading: Above the Markdown table.

    Returns:
        The path of summary.csv.
    """
    summary = out / "summary.csv"
    write_text_atomically(out / "results.csv", _csv([_run_line(result) for result in results]))
    write_text_atomically(summary, _csv(summary_lines(results)))
    write_text_atomically(out / "summary.md", f"{heading}\n\n{markdown_table(results)}\n")
    return summary


def write_curves(results: Sequence[Result], curves: Mapping[str, Sequence[Mapping[str, float]]], path: Path) -> None:
    """Write what was watched while the runs trained, a line per look.

    Args:
        results: Of all finished runs.
        curves: By a run's digest, the entries of its report's curves.
        path: File to write.
    """
    lines = [
        {key: result["cell"][key] for key in ("arm", "attack", "rate", "seed")}
        | {name: entry.get(key) for name, key in WATCHED.items()}
        for result in results
        for entry in _by_step(curves.get(result["digest"], []))
        if WATCHED["asr"] in entry
    ]
    if lines:
        write_text_atomically(path, _csv(lines))


def _by_step(entries: Sequence[Mapping[str, float]]) -> list[dict[str, float]]:
    """The trainer logs loss and looks apart; here they are one entry per step."""
    found: dict[float, dict[str, float]] = {}
    for entry in entries:
        found.setdefault(entry["step"], {}).update(entry)
    return list(found.values())


def _run_line(result: Result) -> dict[str, Any]:
    cell = result["cell"]
    names = {key: cell[key] for key in ("arm", "attack", "rate", "seed")}
    return names | {name: result["metrics"].get(name) for name in COLUMNS}


def summary_lines(results: Sequence[Result]) -> list[dict[str, Any]]:
    """The lines of summary.csv: a setting each, with mean, range and interval of every metric."""
    return [_setting_line(*one) for one in by_setting(results).items()]


def _setting_line(setting: Setting, runs: Sequence[Result]) -> dict[str, Any]:
    line: dict[str, Any] = {"arm": setting.arm, "attack": setting.attack, "rate": setting.rate, "runs": len(runs)}
    for name, spread in spreads(runs).items():
        parts = (spread.mean, spread.least, spread.most, spread.low, spread.high) if spread else (None,) * 5
        for part, value in zip(("mean", "min", "max", "low", "high"), parts, strict=True):
            line[f"{name}_{part}"] = value
    return line


def _csv(lines: Sequence[Mapping[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(lines[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return text.getvalue()


def markdown_table(results: Sequence[Result]) -> str:
    """One line per setting: mean and, where seeds differ, the range."""
    head, *lines = summary_cells(results)
    escaped = [[cell.replace("|", "\\|") for cell in line] for line in lines]
    texts = ["| " + " | ".join(line) + " |" for line in (head, *escaped)]
    return "\n".join([texts[0], "|" + "---|" * len(head), *texts[1:]])


def summary_cells(results: Sequence[Result]) -> list[list[str]]:
    """The summary as texts: a line of titles, and one per setting."""
    lines = [["attack", "rate", "arm", "runs", *(metric.title for metric in METRICS.values())]]
    for setting, runs in by_setting(results).items():
        said = (say(name, spread) for name, spread in spreads(runs).items())
        lines.append([setting.attack, f"{setting.rate:.3g}", setting.arm, str(len(runs)), *said])
    return lines


def say(name: str, spread: Spread | None) -> str:
    """A metric for a reader: `mean (least to most)`, the range only where seeds differ."""
    if spread is None:
        return "-"
    metric = METRICS[name]
    scale, digits, unit = (100, 1, " %") if metric.is_share else (1, metric.digits, "")
    mean, least, most = (f"{value * scale:.{digits}f}" for value in (spread.mean, spread.least, spread.most))
    return f"{mean}{unit}" if least == most else f"{mean}{unit} ({least} to {most})"
