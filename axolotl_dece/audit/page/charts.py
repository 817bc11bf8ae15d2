"""The page's charts as plotly figures: plain dicts of data and layout."""

from __future__ import annotations

from typing import Any

import numpy as np

from axolotl_dece.audit.analyse.findings import Audit
from axolotl_dece.util.page import SHARE_AXIS, chart_layout, chart_line, chart_text

# Okabe and Ito's palette: told apart by colour-blind readers too
_COLOURS = ("#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_OTHERS = "#8a949e"
_VISITS = ("first visit", "last but one", "last visit")
_MOST_CLUSTERS = len(_COLOURS)


def charts(audit: Audit) -> dict[str, Any]:
    """The charts by the id of the element that shows them; a chart without data is left out."""
    found = {"scores": score_histogram(audit), "moves": movements(audit)}
    return {name: chart for name, chart in found.items() if chart["data"]}


def score_histogram(audit: Audit) -> dict[str, Any]:
    """How many rows have which score, by cluster; rows with score 0 are left out, or nothing else would be seen."""
    positive = audit.scores > 0
    if not positive.any():
        return {"data": [], "layout": {}}
    numbers = np.array([clusters[0] if clusters else 0 for clusters in audit.clusters_of()], np.int64)
    edges = np.linspace(0.0, float(audit.scores.max()), 31)
    data = []
    for number in range(min(len(audit.clusters), _MOST_CLUSTERS) + 1):
        chosen = positive & ((numbers == number) if number else (numbers == 0) | (numbers > _MOST_CLUSTERS))
        counts, _ = np.histogram(audit.scores[chosen], edges)
        data.append(
            {
                "type": "bar",
                "name": f"cluster {number}" if number else "no cluster shown",
                "x": ((edges[1:] + edges[:-1]) / 2).round(3).tolist(),
                "y": counts.tolist(),
                "marker": {"color": _COLOURS[number - 1] if number else _OTHERS},
            }
        )
    layout = _layout("score: target tokens refused throughout", "rows")
    layout["barmode"] = "stack"
    return {"data": data, "layout": layout}


def movements(audit: Audit) -> dict[str, Any]:
    """Mean withheld share of what each cluster holds back, and of all other target tokens, as the run went on."""
    rows = audit.rows
    data = []
    for cluster in audit.clusters[:_MOST_CLUSTERS]:
        # a row may be in several: each line is of all rows of its cluster
        chosen = rows.is_held & np.isin(rows.row_of, cluster.rows)
        name = chart_text(f"{cluster.number}: {cluster.span}"[:60])
        data.append(_line(name, rows.shares[:, chosen].mean(axis=1), _COLOURS[cluster.number - 1]))
    rest = rows.is_target & ~rows.is_held
    if rest.any():
        data.append(_line("all other target tokens", rows.shares[:, rest].mean(axis=1), _OTHERS))
    layout = _layout("", "withheld share of the gradient")
    layout["yaxis"] |= SHARE_AXIS
    return {"data": data, "layout": layout}


def _line(name: str, shares: Any, colour: str) -> dict[str, Any]:
    rounded = [round(float(share), 4) for share in shares]
    return chart_line(name, _VISITS, rounded, {"color": colour, "width": 2}) | {"mode": "lines+markers"}


def _layout(x_title: str, y_title: str) -> dict[str, Any]:
    return chart_layout(x_title, y_title) | {"height": 320, "showlegend": True}
