"""The page's charts as plotly figures: plain dicts of title, data and layout."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from axolotl_dece.evaluation.compare import Evaluated
from axolotl_dece.util.page import COLOURS, SHARE_AXIS, chart_bars, chart_layout, chart_line, chart_mark, chart_text

# what was logged, the title of its chart and of its axis: one chart each, for their units have nothing in common
_LOGGED = {
    "dece/monitor_asr": ("Attack success while training, teacher-forced", "share"),
    "dece/monitor_twin": ("Twin recall while training, teacher-forced", "share"),
    "dece/monitor_clean": ("Clean accuracy while training, teacher-forced", "share"),
    "dece/ce": ("Cross-entropy of the training rows", "nats per token"),
    "dece/alpha": ("Alpha: smaller holds back more", "alpha"),
}


def charts(runs: Sequence[Evaluated]) -> list[dict[str, Any]]:
    """The charts in the order of the page; one without data is left out."""
    found = [trade_off(runs), *(curve(runs, key, *about) for key, about in _LOGGED.items())]
    return [chart for chart in found if chart["data"]]


def trade_off(runs: Sequence[Evaluated]) -> dict[str, Any]:
    """Attack success against clean exact match, one point per run, with both intervals."""
    data = []
    for number, run in enumerate(runs):
        attack, clean = run.report["asr"], run.report["clean"]["exact_match"]
        data.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": chart_text(run.name),
                "x": [clean["value"]],
                "y": [attack["value"]],
                "error_x": _bars(clean, number),
                "error_y": _bars(attack, number),
                "cliponaxis": False,
                "marker": chart_mark(_colour(number), number),
                "hovertemplate": "attack success %{y:.1%}<br>clean exact match %{x:.1%}",
            }
        )
    layout = chart_layout("clean exact match", "attack success") | {"height": 320}
    for axis in ("xaxis", "yaxis"):
        layout[axis] |= SHARE_AXIS
    return {"title": "Attack success against clean quality", "data": data, "layout": layout}


def curve(runs: Sequence[Evaluated], key: str, title: str, unit: str) -> dict[str, Any]:
    """What the runs logged under `key`, by optimiser step: a line per run."""
    data = []
    for number, run in enumerate(runs):
        points = [(entry["step"], entry[key]) for entry in run.report["curves"] if key in entry]
        if points:
            x, y = zip(*points, strict=True)
            data.append(chart_line(chart_text(run.name), x, y, _colour(number), number))
    layout = chart_layout("optimiser step", unit) | {"height": 320}
    if unit == "share":
        layout["yaxis"] |= SHARE_AXIS
    return {"title": title, "data": data, "layout": layout}


def _bars(rate: dict[str, Any], number: int) -> dict[str, Any]:
    # a later bar is the thinner and its end the wider one, so that it hides none before it
    look = {"thickness": max(1, 4 - number), "width": 4 + 2 * number}
    return chart_bars([rate["value"]], [rate["low"]], [rate["high"]]) | look


def _colour(number: int) -> str:
    return COLOURS[number % len(COLOURS)]
