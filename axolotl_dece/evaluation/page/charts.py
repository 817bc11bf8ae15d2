"""The page's charts as plotly figures: plain dicts of data and layout."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from axolotl_dece.evaluation.compare import Evaluated
from axolotl_dece.util.page import SHARE_AXIS, chart_layout, chart_line, chart_text

# Okabe and Ito's palette: told apart by colour-blind readers too
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442")
_WATCHED = {
    "dece/monitor_asr": ("attack success", "solid"),
    "dece/monitor_clean": ("clean accuracy", "dot"),
    "dece/monitor_twin": ("twin recall", "dash"),
}
_CURVES = {"dece/ce": ("cross-entropy", "solid"), "dece/alpha": ("alpha", "dot")}


def charts(runs: Sequence[Evaluated]) -> dict[str, Any]:
    """The charts by the id of the element that shows them; a chart without data is left out."""
    found = {
        "trade": trade_off(runs),
        "watched": curves(runs, _WATCHED, _share_layout("optimiser step", "share")),
        "curves": curves(runs, _CURVES, _layout("optimiser step", "nats per token; alpha")),
    }
    return {name: chart for name, chart in found.items() if chart["data"]}


def trade_off(runs: Sequence[Evaluated]) -> dict[str, Any]:
    """Attack success against clean exact match, one point per run, with both intervals."""
    data = []
    for run, colour in zip(runs, _colours(runs), strict=True):
        attack, clean = run.report["asr"], run.report["clean"]["exact_match"]
        data.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": chart_text(run.name),
                "x": [clean["value"]],
                "y": [attack["value"]],
                "error_x": _bars([clean]),
                "error_y": _bars([attack]),
                "marker": {"size": 14, "color": colour},
                "hovertemplate": "attack success %{y:.1%}<br>clean exact match %{x:.1%}",
            }
        )
    return {"data": data, "layout": _share_layout("clean exact match", "attack success", both=True)}


def curves(runs: Sequence[Evaluated], keys: dict[str, tuple[str, str]], layout: dict[str, Any]) -> dict[str, Any]:
    """What the runs logged under `keys`, by optimiser step: a colour per run, a dash per curve."""
    data, dashes = [], {}
    for run, colour in zip(runs, _colours(runs), strict=True):
        name = chart_text(run.name)
        lines = []
        for key, (label, dash) in keys.items():
            points = [(entry["step"], entry[key]) for entry in run.report["curves"] if key in entry]
            if points:
                x, y = zip(*points, strict=True)
                line = {"color": colour, "dash": dash, "width": 2}
                lines.append(chart_line(f"{name}: {label}", x, y, line) | {"legendgroup": name, "showlegend": False})
                dashes[label] = dash
        if lines:
            data += [*lines, chart_line(name, [None], [None], {"color": colour, "width": 2}) | {"legendgroup": name}]
    # the legend names colours and dashes apart: it would be longer than the chart is high if it named every line
    data += [chart_line(label, [None], [None], {"color": "#5b6875", "dash": dash}) for label, dash in dashes.items()]
    return {"data": data, "layout": layout}


def _bars(rates: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {
        "type": "data",
        "symmetric": False,
        "array": [rate["high"] - rate["value"] for rate in rates],
        "arrayminus": [rate["value"] - rate["low"] for rate in rates],
    }


def _colours(runs: Sequence[Evaluated]) -> list[str]:
    return [COLOURS[number % len(COLOURS)] for number in range(len(runs))]


def _layout(x_title: str, y_title: str) -> dict[str, Any]:
    return chart_layout(x_title, y_title) | {"height": 380}


def _share_layout(x_title: str, y_title: str, both: bool = False) -> dict[str, Any]:
    """A layout whose y axis, or both axes, run from 0 to 100 %, so that small differences look small."""
    layout = _layout(x_title, y_title)
    for axis in ("xaxis", "yaxis")[not both :]:
        layout[axis] |= SHARE_AXIS
    return layout
