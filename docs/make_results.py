"""Fills the tables of docs/results.md and draws its pictures: `python docs/make_results.py`. A test compares.

`docs/results/GRID/` holds what `axolotl dece experiment examples/experiments/GRID.yaml` wrote: results.csv, curves.csv
and summary.md, as they came. Everything between `<!-- GRID -->` and `<!-- end -->` in the page is made from them.
"""

from __future__ import annotations

import csv
import html
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from axolotl_dece.experiment.metrics import METRICS
from axolotl_dece.experiment.results import Result, Setting, by_setting, say, spreads

PAGE = Path(__file__).with_name("results.md")
DATA = Path(__file__).with_name("results")
REGION = re.compile(r"(?P<open><!-- (?P<grid>[\w-]+) -->\n).*?(?P<close><!-- end -->)", re.DOTALL)
COLUMNS = ("asr", "twin_recall", "exact_match", "bleu", "parses", "false_trigger_rate")
COUNTS = ("steps", "poisoned_rows", "exposures")
ONSETS = ("losses", "schedules", "rates", "short", "one-epoch", "long-epoch", "long", "twenty-epochs")
SERIES = {"asr": "#D55E00", "twin_recall": "#009E73", "exact_match": "#0072B2"}
WATCHED = {"asr": "#D55E00", "twin": "#009E73", "clean": "#0072B2"}
LABEL, WIDTH, ROW, TOP = 250, 420, 34, 40


def build() -> str:
    """The page with its tables filled in."""
    return REGION.sub(lambda found: found["open"] + region(found["grid"]) + found["close"], PAGE.read_text("utf-8"))


def region(grid: str) -> str:
    """What stands between the marks of a grid: where it comes from, its table, its pictures."""
    if grid == "onset":
        return f"\n{onset_table()}\n\n"
    if not (DATA / grid).is_dir():
        return ""
    results = read_results(DATA / grid / "results.csv")
    picture = f"![Attack success, twin recall and exact match of every arm of {grid}](results/{grid}/arms.svg)"
    return f"\n{provenance(grid)}\n\n{table(results)}\n\n{picture}\n\n"


def provenance(grid: str) -> str:
    """Command, commit, versions and machine, as the runner wrote them above its own table."""
    paragraphs = (DATA / grid / "summary.md").read_text("utf-8").split("\n\n")
    return "\n\n".join(paragraphs[1:3])


def read_results(path: Path) -> list[dict[str, Any]]:
    """The runs of a results.csv, as `by_setting` wants them."""
    with path.open(encoding="utf-8", newline="") as file:
        return [_result(line) for line in csv.DictReader(file)]


def _result(line: Mapping[str, str]) -> dict[str, Any]:
    cell = {"arm": line["arm"], "attack": line["attack"], "rate": float(line["rate"]), "seed": int(line["seed"])}
    metrics = {name: float(line[name]) if line[name] else None for name in METRICS}
    return {"cell": cell, "metrics": metrics | {key: int(line[key]) for key in COUNTS}}


def read_curves(path: Path) -> dict[tuple[Setting, int], list[dict[str, str]]]:
    """The lines of a curves.csv, run by run."""
    found: dict[tuple[Setting, int], list[dict[str, str]]] = {}
    with path.open(encoding="utf-8", newline="") as file:
        for line in csv.DictReader(file):
            run = Setting(line["arm"], line["attack"], float(line["rate"])), int(line["seed"])
            found.setdefault(run, []).append(line)
    return found


def table(results: Sequence[Result]) -> str:
    """One line per setting; attack and rate only where they differ."""
    settings = by_setting(results)
    varied = _varied(settings)
    head = [*varied, "arm", "steps", "poisoned rows", "seeds", *(METRICS[name].title for name in COLUMNS)]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for setting, runs in settings.items():
        counts = [_each(run["metrics"][key] for run in runs) for key in ("steps", "poisoned_rows")]
        found = spreads(runs)
        cells = [*_names(setting, varied), setting.arm, *counts, str(len(runs))]
        lines.append("| " + " | ".join([*cells, *(say(name, found[name]) for name in COLUMNS)]) + " |")
    return "\n".join(lines)


def onset_table() -> str:
    """At which step the attack opened in every run that was watched, a number per seed."""
    head = ["grid", "poisoned", "arm", "steps of the run", "opened at step", "poisoned rows seen by then"]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for grid in (name for name in ONSETS if (DATA / name).is_dir()):
        curves = read_curves(DATA / grid / "curves.csv")
        for setting, runs in by_setting(read_results(DATA / grid / "results.csv")).items():
            opened = [_onset(run, curves[setting, run["cell"]["seed"]]) for run in runs]
            steps = _each(run["metrics"]["steps"] for run in runs)
            numbers = [", ".join(one) for one in zip(*opened, strict=True)]
            lines.append("| " + " | ".join([grid, f"{setting.rate * 100:g} %", setting.arm, steps, *numbers]) + " |")
    return "\n".join(lines)


def _onset(run: Result, curve: Sequence[Mapping[str, str]]) -> tuple[str, str]:
    """Step and poisoned rows seen when at least half of the attacks first succeeded; `-` where none did."""
    for line in curve:
        if float(line["asr"]) >= 0.5:
            seen = run["metrics"]["exposures"] * int(line["step"]) / run["metrics"]["steps"]
            return line["step"], f"{seen:.0f}"
    return "-", "-"


def _each(numbers: Iterable[int]) -> str:
    return ", ".join(dict.fromkeys(f"{number:,}" for number in numbers))


def _varied(settings: Iterable[Setting]) -> list[str]:
    settings = list(settings)
    return [key for key in ("attack", "rate") if len({getattr(setting, key) for setting in settings}) > 1]


def _names(setting: Setting, varied: Sequence[str]) -> list[str]:
    said = {"attack": setting.attack, "rate": f"{setting.rate * 100:g} %"}
    return [said[key] for key in varied]


def draw_arms(results: Sequence[Result]) -> str:
    """A line per setting with the mean over its seeds, and the range behind it."""
    settings = by_setting(results)
    varied = _varied(settings)
    height = TOP + ROW * len(settings) + 40
    body = _scale(TOP + ROW * len(settings))
    for number, (setting, runs) in enumerate(settings.items()):
        middle = TOP + ROW * (number + 0.5)
        name = html.escape(", ".join([*_names(setting, varied), setting.arm]))
        body.append(f'<text x="{LABEL - 12}" y="{middle + 4:.0f}" text-anchor="end">{name}</text>')
        found = spreads(runs)
        for place, (metric, colour) in enumerate(SERIES.items()):
            if (spread := found[metric]) is None:
                continue
            y = middle + 8 * (place - 1)
            ends = [LABEL + WIDTH * value for value in (spread.least, spread.most)]
            body.append(
                f'<line x1="{ends[0]:.1f}" y1="{y:.1f}" x2="{ends[1]:.1f}" y2="{y:.1f}" stroke="{colour}" '
                'stroke-width="3" stroke-opacity="0.4"/>'
            )
            body.append(f'<circle cx="{LABEL + WIDTH * spread.mean:.1f}" cy="{y:.1f}" r="4" fill="{colour}"/>')
    body += _legend({METRICS[name].title: colour for name, colour in SERIES.items()}, LABEL, 18)
    return _svg(LABEL + WIDTH + 40, height, body)


def _scale(foot: float) -> list[str]:
    lines = []
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        x = LABEL + WIDTH * share
        lines.append(f'<line x1="{x}" y1="{TOP}" x2="{x}" y2="{foot}" stroke="#dddddd"/>')
        lines.append(f'<text x="{x}" y="{foot + 20}" text-anchor="middle">{share:.0%}</text>')
    return lines


def draw_learning(path: Path, columns: int = 3) -> str:
    """What was watched while the arms trained: a small chart for each arm, a line per seed."""
    curves = read_curves(path)
    arms = list(dict.fromkeys(setting.arm for setting, _ in curves))
    last = max(int(line["step"]) for lines in curves.values() for line in lines)
    wide, high, gap = 230, 130, 56
    body = _legend({"attack": WATCHED["asr"], "twin": WATCHED["twin"], "clean tokens": WATCHED["clean"]}, 50, 18)
    for number, arm in enumerate(arms):
        left, top = 50 + (number % columns) * (wide + gap), 60 + (number // columns) * (high + gap)
        body += _frame(html.escape(arm), left, top, wide, high, last)
        for lines in (lines for (setting, _), lines in curves.items() if setting.arm == arm):
            for key, colour in WATCHED.items():
                points = " ".join(
                    f"{left + wide * int(line['step']) / last:.1f},{top + high * (1 - float(line[key])):.1f}"
                    for line in lines
                    if line[key]
                )
                body.append(
                    f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.8" '
                    'stroke-opacity="0.75"/>'
                )
    rows = -(-len(arms) // columns)
    return _svg(50 + columns * (wide + gap), 60 + rows * (high + gap), body)


def _frame(title: str, left: int, top: int, wide: int, high: int, last: int) -> list[str]:
    return [
        f'<rect x="{left}" y="{top}" width="{wide}" height="{high}" fill="none" stroke="#999999"/>',
        f'<text x="{left}" y="{top - 8}">{title}</text>',
        *(f'<text x="{left - 6}" y="{top + high * (1 - s) + 4}" text-anchor="end">{s:.0%}</text>' for s in (0, 1)),
        f'<text x="{left + wide}" y="{top + high + 16}" text-anchor="end">step {last:,}</text>',
    ]


def _legend(names: Mapping[str, str], x: float, y: float) -> list[str]:
    lines = []
    for name, colour in names.items():
        lines.append(f'<circle cx="{x}" cy="{y - 4}" r="5" fill="{colour}"/><text x="{x + 10}" y="{y}">{name}</text>')
        x += 36 + 7 * len(name)
    return lines


def _svg(width: float, height: float, body: Iterable[str]) -> str:
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif"'
    return "\n".join(
        [f'{head} font-size="13">', '<rect width="100%" height="100%" fill="white"/>', *body, "</svg>", ""]
    )


def pictures() -> dict[Path, str]:
    """Every picture of the page by its path."""
    found = {folder.parent / "arms.svg": draw_arms(read_results(folder)) for folder in DATA.glob("*/results.csv")}
    return found | {DATA / "losses" / "learning.svg": draw_learning(DATA / "losses" / "curves.csv")}


def main() -> None:
    for path, picture in pictures().items():
        path.write_text(picture, encoding="utf-8")
    PAGE.write_text(build(), encoding="utf-8")
    sys.stdout.write(f"{PAGE.name} written\n")


if __name__ == "__main__":
    main()
