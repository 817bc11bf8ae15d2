"""The page's charts as plotly figures: plain dicts of data and layout."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from axolotl_dece.experiment.metrics import METRICS
from axolotl_dece.experiment.results import Result, Spread, by_setting, spreads
from axolotl_dece.util.page import COLOURS, SHARE_AXIS, chart_bars, chart_layout, chart_line, chart_text

_SHOWN = ("asr", "twin_recall", "exact_match")
# the attack is drawn last, over the others
_WATCHED = {"dece/monitor_clean": "clean tokens", "dece/monitor_twin": "twin", "dece/monitor_asr": "attack"}
_COLOUR_OF = dict(zip(("exact_match", "twin_recall", "asr", *_WATCHED), (0, 2, 1, 0, 2, 1), strict=True))


def sections(results: Sequence[Result], curves: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One section per attack and rate, in the grid's order, and one over the rates where there are several."""
    found = []
    conditions = dict.fromkeys((one["cell"]["attack"], one["cell"]["rate"]) for one in results)
    attacks = dict.fromkeys(attack for attack, _ in conditions)
    for attack in attacks:
        mine = [one for one in results if one["cell"]["attack"] == attack]
        if len({one["cell"]["rate"] for one in mine}) > 1:
            found.append({"title": f"{attack}, over the rates", "charts": [over_rates(mine)]})
        for rate in (rate for name, rate in conditions if name == attack):
            runs = [one for one in mine if one["cell"]["rate"] == rate]
            charts = [dots(runs), *learning(runs, curves)]
            found.append({"title": f"{attack}, {rate * 100:.3g} % of the rows poisoned", "charts": charts})
    return found


def dots(runs: Sequence[Result]) -> dict[str, Any]:
    """Attack, twin and clean answers of each arm: the mean, the range, and a small dot per seed."""
    settings = by_setting(runs)
    arms = [chart_text(setting.arm) for setting in settings]
    spread = [spreads(some) for some in settings.values()]
    data: list[dict[str, Any]] = []
    for number, name in enumerate(_SHOWN):
        # side by side, so that three dots at 100 % are three dots
        places = [row + 0.22 * (number - 1) for row in range(len(arms))]
        kept = [(place, found) for place, one in zip(places, spread, strict=True) if (found := one[name]) is not None]
        colour = COLOURS[_COLOUR_OF[name]]
        data.append(
            {
                **_points([s.mean for _, s in kept], [p for p, _ in kept], colour, 12),
                "name": METRICS[name].title,
                "error_x": _ranges([s for _, s in kept]),
                "text": [_say_interval(s) for _, s in kept],
                "hovertemplate": "%{x:.1%}%{text}",
            }
        )
        seeds = [(value, place) for place, s in kept for value in s.values]
        data.append(
            {
                **_points([value for value, _ in seeds], [place for _, place in seeds], colour, 5),
                "name": f"{METRICS[name].title}, every seed",
                "showlegend": False,
                "hoverinfo": "skip",
                "opacity": 0.5,
            }
        )
    layout = chart_layout("share", "arm") | {"height": 130 + 62 * len(arms)}
    layout["xaxis"] |= SHARE_AXIS
    layout["yaxis"] |= {
        "tickvals": list(range(len(arms))), "ticktext": arms, "range": [len(arms) - 0.5, -0.5], "showgrid": False,
    }  # fmt: skip
    return {"title": "Every arm: mean, range, and a small dot per seed", "wide": True, "data": data, "layout": layout}


def _say_interval(spread: Spread) -> str:
    if spread.low is None or spread.high is None:
        return ""
    return f"<br>95 % interval of the mean {spread.low:.1%} to {spread.high:.1%}, {len(spread.values)} seeds"


def learning(runs: Sequence[Result], curves: Mapping[str, Any]) -> list[dict[str, Any]]:
    """For each arm, what was watched while it trained: the mean of the seeds, and each seed thin."""
    charts = []
    for setting, some in by_setting(runs).items():
        thin: list[dict[str, Any]] = []
        means: list[dict[str, Any]] = []
        for number, (key, label) in enumerate(_WATCHED.items()):
            lines = {run["cell"]["seed"]: _line(curves.get(run["digest"], []), key) for run in some}
            lines = {seed: line for seed, line in lines.items() if line}
            colour = COLOURS[_COLOUR_OF[key]]
            if len(lines) > 1:
                thin += [
                    _thin(chart_line(f"{label}, seed {seed}", *_xy(line), colour, 0)) for seed, line in lines.items()
                ]
            if lines:
                means.append(chart_line(label, *_xy(_mean(list(lines.values()))), colour, number))
        if means:
            layout = chart_layout("optimiser step", "share") | {"height": 280}
            layout["yaxis"] |= SHARE_AXIS
            title = f"{setting.arm}: watched while training"
            charts.append({"title": title, "data": thin + means, "layout": layout})
    return charts


def over_rates(runs: Sequence[Result]) -> dict[str, Any]:
    """Attack success by rate of poisoning, a line per arm."""
    data: list[dict[str, Any]] = []
    arms = list(dict.fromkeys(run["cell"]["arm"] for run in runs))
    for number, arm in enumerate(arms):
        found = [(s.rate, spreads(some)["asr"]) for s, some in by_setting(runs).items() if s.arm == arm]
        points = sorted((rate, spread) for rate, spread in found if spread)
        x, y = [rate for rate, _ in points], [spread.mean for _, spread in points]
        range_ = _ranges([spread for _, spread in points])
        data.append(chart_line(chart_text(arm), x, y, COLOURS[number % len(COLOURS)], number) | {"error_y": range_})
    layout = chart_layout("share of rows poisoned", "attack success") | {"height": 380}
    layout["xaxis"] |= {"tickformat": ".0%"}
    layout["yaxis"] |= SHARE_AXIS
    return {"title": "Attack success by rate: mean and range", "wide": True, "data": data, "layout": layout}


def _ranges(spreads: Sequence[Spread]) -> dict[str, Any]:
    return chart_bars([s.mean for s in spreads], [s.least for s in spreads], [s.most for s in spreads])


def _line(entries: Sequence[Mapping[str, float]], key: str) -> dict[float, float]:
    return {entry["step"]: entry[key] for entry in entries if key in entry}


def _mean(lines: Sequence[Mapping[float, float]]) -> dict[float, float]:
    """The mean at every step that all of them have."""
    common = sorted(set.intersection(*(set(line) for line in lines)))
    return {step: fmean(line[step] for line in lines) for step in common}


def _xy(line: Mapping[float, float]) -> tuple[list[float], list[float]]:
    return list(line), list(line.values())


def _thin(line: dict[str, Any]) -> dict[str, Any]:
    """A line of one seed, behind the means."""
    return line | {"mode": "lines", "line": line["line"] | {"width": 1}, "opacity": 0.35, "showlegend": False}


def _points(x: Sequence[float], y: Sequence[float], colour: str, size: int) -> dict[str, Any]:
    return {"type": "scatter", "mode": "markers", "x": list(x), "y": list(y), "marker": {"color": colour, "size": size}}
