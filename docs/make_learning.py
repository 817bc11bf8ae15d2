"""Draws docs/learning.svg, attack, twin and clean answers while each loss trains: `python docs/make_learning.py`.

From docs/results/losses/curves.csv, as the experiment wrote it. A test compares.
"""

from __future__ import annotations

import csv
import html
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

PICTURE = Path(__file__).with_name("learning.svg")
CURVES = Path(__file__).with_name("results") / "losses" / "curves.csv"
# column of curves.csv: what it is called, its colour, its dashes (for who cannot tell the colours apart)
WATCHED = {
    "asr": ("attack", "#D55E00", "none"),
    "twin": ("twin", "#009E73", "6 4"),
    "clean": ("clean tokens", "#0072B2", "2 3"),
}
COLUMNS, WIDE, HIGH, GAP, LEFT, TOP = 3, 230, 130, 56, 50, 60
# the picture follows the reader's colour scheme, and brings its own ground
STYLE = (
    "<style>.ground{fill:#fff}text{fill:#1b1b1b}.frame{stroke:#767676}"
    "@media(prefers-color-scheme:dark){.ground{fill:#131416}text{fill:#ececec}.frame{stroke:#8c8c8c}}</style>"
)


def draw() -> str:
    """A small chart for each arm, a line per seed, as SVG."""
    with CURVES.open(encoding="utf-8", newline="") as file:
        looks = list(csv.DictReader(file))
    arms = list(dict.fromkeys(look["arm"] for look in looks))
    last = max(int(look["step"]) for look in looks)
    body = _legend()
    for number, arm in enumerate(arms):
        left, top = LEFT + (number % COLUMNS) * (WIDE + GAP), TOP + (number // COLUMNS) * (HIGH + GAP)
        body += _frame(html.escape(arm), left, top, last)
        of_arm = [look for look in looks if look["arm"] == arm]
        for seed in dict.fromkeys(look["seed"] for look in of_arm):
            body += _lines([look for look in of_arm if look["seed"] == seed], left, top, last)
    size = f'width="{LEFT + COLUMNS * (WIDE + GAP)}" height="{TOP + -(-len(arms) // COLUMNS) * (HIGH + GAP)}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="13">'
    return "\n".join([head, STYLE, '<rect class="ground" width="100%" height="100%"/>', *body, "</svg>", ""])


def _lines(looks: Sequence[Mapping[str, str]], left: int, top: int, last: int) -> list[str]:
    lines = []
    for key, (_, colour, dashes) in WATCHED.items():
        points = " ".join(
            f"{left + WIDE * int(look['step']) / last:.1f},{top + HIGH * (1 - float(look[key])):.1f}"
            for look in looks
            if look[key]
        )
        lines.append(
            f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2" stroke-dasharray="{dashes}"/>'
        )
    return lines


def _frame(title: str, left: int, top: int, last: int) -> list[str]:
    return [
        f'<rect class="frame" x="{left}" y="{top}" width="{WIDE}" height="{HIGH}" fill="none"/>',
        f'<text x="{left}" y="{top - 8}">{title}</text>',
        *(f'<text x="{left - 6}" y="{top + HIGH * (1 - s) + 4}" text-anchor="end">{s:.0%}</text>' for s in (0, 1)),
        f'<text x="{left + WIDE}" y="{top + HIGH + 16}" text-anchor="end">step {last:,}</text>',
    ]


def _legend() -> list[str]:
    lines, x = [], LEFT
    for name, colour, dashes in WATCHED.values():
        lines.append(
            f'<line x1="{x}" y1="14" x2="{x + 26}" y2="14" stroke="{colour}" stroke-width="3" '
            f'stroke-dasharray="{dashes}"/><text x="{x + 32}" y="18">{name}</text>'
        )
        x += 58 + 7 * len(name)
    return lines


if __name__ == "__main__":
    PICTURE.write_text(draw(), encoding="utf-8")
    sys.stdout.write(f"{PICTURE.name} written\n")
