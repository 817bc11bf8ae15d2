"""Pages that need nothing else: one HTML file with its style, its script, plotly and its data inside.

Every text that users or models wrote reaches a page as packed data and is shown as text, never as markup.
"""

from __future__ import annotations

import base64
import gzip
import html
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from axolotl_dece.util.json_text import with_gaps

_HERE = Path(__file__).parent

# of `page.html`: at the head of every page
_MARK = b'<meta name="generator" content="axolotl-dece">'
_HEAD_BYTES = 500

MAX_BYTES = 5_000_000
"""A page people mail to each other."""

# Okabe and Ito's palette: told apart by colour-blind readers too; grey for their black, which no dark page shows
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F7F7F", "#F0E442")

# dash, width, mark and its size; where all of them lie on each other, something is seen of each
_LINES = (
    ("solid", 2, "circle-open", 14),
    ("3px,9px", 4, "square-open", 9),
    ("16px,10px", 5, "diamond", 6),
    ("10px,6px,2px,6px", 3, "triangle-up-open", 18),
)
_MOST_MARKS = 12

SHARE_AXIS = {"range": [-0.03, 1.03], "tickformat": ".0%"}
"""Of a chart's axis of shares: a little beyond both ends, where whole points are to be seen."""


def fill_page(folder: Path, title: str, content: Any, **parts: str) -> str:
    """A whole page: the body `page.html` of `folder` with its styles, its scripts and `content` put in, and plotly
    where the scripts draw charts.

    Args:
        folder: Where `page.html`, styles and scripts are, as far as it has its own; scripts come in the order of
            their names. What all pages share, the files beside this one, comes before.
        title: HTML, of the window.
        content: What the script reads, anything JSON can say; a number that is none, such as the loss of a run that
            went wrong, becomes a gap.
        parts: HTML, escaped where it has to be, by the name of its place: `summary` fills `@@SUMMARY@@`.
    """
    script = _read(_HERE / "page.js", *sorted(folder.glob("*.js")))
    values = {
        "TITLE": title,
        "STYLE": _read(_HERE / "page.css", *folder.glob("*.css")),
        "SCRIPT": script,
        "PLOTLY": _plotly() if "drawCharts(" in _read(*folder.glob("*.js")) else "",
        "CONTENT": packed(_json(content)),
    } | {name.upper(): part for name, part in parts.items()}
    template = _read(_HERE / "page.html").replace("@@BODY@@", _read(folder / "page.html"))
    # in one pass, so that a filled-in text cannot name a place itself
    return re.sub(r"@@([A-Z]+)@@", lambda place: values[place[1]], template)


def is_page(path: Path) -> bool:
    """Whether a file is a page that `fill_page` made; not one that cannot be read, and no device."""
    if not path.is_file():
        return False
    try:
        with path.open("rb") as file:
            return _MARK in file.read(_HEAD_BYTES)
    except OSError:
        return False


def _read(*paths: Path) -> str:
    return "\n".join(path.read_text(encoding="utf-8") for path in paths)


def packed_size(content: Any) -> int:
    """Bytes that `content` takes in a page by itself."""
    return len(packed(_json(content)))


def _plotly() -> str:
    from plotly.offline import get_plotlyjs

    return packed(get_plotlyjs())


def _json(content: Any) -> str:
    try:
        return json.dumps(content, allow_nan=False, separators=(",", ":"))
    except ValueError:  # rare, and looking for it costs more than the writing
        return json.dumps(with_gaps(content), allow_nan=False, separators=(",", ":"))


def packed(text: str) -> str:
    """gzip in base64: plotly.js shrinks from 4.9 to 2 MB, and no text in it can end the element it stands in."""
    return base64.b64encode(gzip.compress(text.encode(), compresslevel=6, mtime=0)).decode()


def chart_layout(x_title: str, y_title: str) -> dict[str, Any]:
    """What plotly charts of all pages have in common: axes with their titles, the legend. `page.js` colours them."""
    axes = [{"title": {"text": title}, "automargin": True, "zeroline": False} for title in (x_title, y_title)]
    return {
        "xaxis": axes[0],
        "yaxis": axes[1],
        # above the chart, where however many lines of it meet no axis title
        "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom"},
        "margin": {"t": 36, "r": 16, "b": 50, "l": 60},
    }


def chart_line(name: str, x: Sequence[Any], y: Sequence[Any], colour: str, number: int) -> dict[str, Any]:
    """A line through points that hides no line before it: those show in its gaps and round its marks.

    Args:
        name: As plotly shows it.
        x: Of every point.
        y: Of every point.
        colour: Of the line.
        number: From 0 on, in the order in which lines are drawn; each is drawn over those before it.
    """
    dash, width, mark, size = _LINES[number % len(_LINES)]
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": name,
        "x": list(x),
        "y": list(y),
        "line": {"color": colour, "width": width, "dash": dash},
        "marker": _mark(mark, size, colour) | {"maxdisplayed": _MOST_MARKS},
        "cliponaxis": False,  # marks of 100 % are whole
    }


def chart_bars(middle: Sequence[float], low: Sequence[float], high: Sequence[float]) -> dict[str, Any]:
    """Bars from `low` to `high` through points at `middle`."""
    return {
        "type": "data",
        "symmetric": False,
        "array": [end - at for at, end in zip(middle, high, strict=True)],
        "arrayminus": [at - end for at, end in zip(middle, low, strict=True)],
    }


def chart_mark(colour: str, number: int) -> dict[str, Any]:
    """The mark of one point that hides none of the points before it at the same place."""
    _, _, mark, size = _LINES[number % len(_LINES)]
    return _mark(mark, size + 4, colour)


def _mark(mark: str, size: int, colour: str) -> dict[str, Any]:
    return {"symbol": mark, "size": size, "color": colour, "line": {"width": 2, "color": colour}}


def chart_text(text: str) -> str:
    """A name as plotly shows it: it reads `<`, `>` and `&` as markup, and knows no escape for quotes."""
    return html.escape(text, quote=False)
