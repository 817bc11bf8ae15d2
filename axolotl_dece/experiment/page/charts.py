"""The page's charts as plotly figures: plain dicts of data and layout."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from axolotl_dece.evaluation.page.charts import COLOURS
from axolotl_dece.experiment.metrics import METRICS
from axolotl_dece.experiment.results import Result, Spread, by_setting, spreads
from axolotl_dece.util.page import SHARE_AXIS, chart_layout, chart_line, chart_text

_SHOWN = ("asr", "twin_recall", "exact_match")
_WATCHED = {"dece/monitor_asr": "attack", "dece/monitor_clean": "clean tokens", "dece/monitor_twin": "twin"}
_COLOUR_OF = dict(zip(("asr", "exact_match", "twin_recall", *_WATCHED), (1, 0, 2, 1, 0, 2), strict=True))


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
                "error_x": {
                    "type": "data",
                    "symmetric": False,
                    "array": [s.most - s.mean for _, s in kept],
                    "arrayminus": [s.mean - s.least for _, s in kept],
                },
                "text": [_say_interval(s) for _, s in kept],
                "hovertemplate": "%{x:.1%}%{text}",
            }
        )
        seeds = [(value, place) for place, s in kept for value in s.values]
        data.append(
            {
                **_points([value for value, _ in seeds], [place for _, place in seeds], colour, 5),
                "name": METRICS[name].title,
                "showlegend": False,
                "hoverinfo": "skip",
                "opacity": 0.5,
            }
        )
    layout = chart_layout("share", "") | {"height": 130 + 62 * len(arms)}
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
        data: list[dict[str, Any]] = []
        for key, label in _WATCHED.items():
            lines = [_line(curves.get(run["digest"], []), key) for run in some]
            lines = [line for line in lines if line]
            colour = COLOURS[_COLOUR_OF[key]]
            if len(lines) > 1:
                data += [_curve(line, colour, label, thin=True) for line in lines]
            if lines:
                data.append(_curve(_mean(lines), colour, label))
        if data:
            layout = chart_layout("optimiser step", "") | {"height": 280}
            layout["yaxis"] |= SHARE_AXIS
            charts.append({"title": f"{setting.arm}: watched while training", "data": data, "layout": layout})
    return charts


def over_rates(runs: Sequence[Result]) -> dict[str, Any]:
    """Attack success by rate of poisoning, a line per arm."""
    data: list[dict[str, Any]] = []
    arms = list(dict.fromkeys(run["cell"]["arm"] for run in runs))
    for number, arm in enumerate(arms):
        found = [(s.rate, spreads(some)["asr"]) for s, some in by_setting(runs).items() if s.arm == arm]
        points = sorted((rate, spread) for rate, spread in found if spread)
        data.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": chart_text(arm),
                "x": [rate for rate, _ in points],
                "y": [spread.mean for _, spread in points],
                "error_y": {
                    "type": "data",
                    "symmetric": False,
                    "array": [spread.most - spread.mean for _, spread in points],
                    "arrayminus": [spread.mean - spread.least for _, spread in points],
                },
                "line": {"color": COLOURS[number % len(COLOURS)]},
            }
        )
    layout = chart_layout("share of rows poisoned", "attack success") | {"height": 380}
    layout["xaxis"] |= {"tickformat": ".0%"}
    layout["yaxis"] |= SHARE_AXIS
    return {"title": "Attack success by rate: mean and range", "wide": True, "data": data, "layout": layout}


def _line(entries: Sequence[Mapping[str, float]], key: str) -> dict[float, float]:
    return {entry["step"]: entry[key] for entry in entries if key in entry}


def _mean(lines: Sequence[Mapping[float, float]]) -> dict[float, float]:
    """The mean at every step that all of them have."""
    common = sorted(set.intersection(*(set(line) for line in lines)))
    return {step: fmean(line[step] for line in lines) for step in common}


def _curve(line: Mapping[float, float], colour: str, label: str, thin: bool = False) -> dict[str, Any]:
    drawn = chart_line(label, list(line), list(line.values()), {"color": colour, "width": 1 if thin else 2.5})
    return drawn | {"opacity": 0.35, "showlegend": False} if thin else drawn


def _points(x: Sequence[float], y: Sequence[float], colour: str, size: int) -> dict[str, Any]:
    return {"type": "scatter", "mode": "markers", "x": list(x), "y": list(y), "marker": {"color": colour, "size": size}}
