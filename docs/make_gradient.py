"""Draws docs/gradient.svg, how hard a token pulls: `python docs/make_gradient.py`. A test compares it with the loss."""

from __future__ import annotations

import math
import sys
from pathlib import Path

PICTURE = Path(__file__).with_name("gradient.svg")
ALPHAS = {1.0: "#7f7f7f", 0.985: "#1f77b4", 0.95: "#2ca02c", 0.9: "#ff7f0e", 0.8: "#d62728", 0.5: "#9467bd"}
LOWEST = 1e-4
LEFT, TOP, WIDTH, HEIGHT = 70, 30, 520, 300
# the picture follows the reader's colour scheme, and brings its own ground
STYLE = (
    "<style>.ground{fill:#fff}text{fill:#1b1b1b}.frame{stroke:#333}.grid{stroke:#ddd}"
    "@media(prefers-color-scheme:dark){.ground{fill:#131416}text{fill:#ececec}.frame{stroke:#bbb}.grid{stroke:#3a3a3a}}"
    "</style>"
)


def weight(probability: float, alpha: float) -> float:
    """Share of the cross-entropy gradient that DeCE leaves to a target of this probability (eps = 0)."""
    return alpha * probability / (alpha * probability + 1 - alpha)


def _place(probability: float, share: float) -> tuple[float, float]:
    along = 1 - math.log10(probability) / math.log10(LOWEST)
    return LEFT + along * WIDTH, TOP + (1 - share) * HEIGHT


def _curve(alpha: float, colour: str, place: int) -> list[str]:
    steps = [LOWEST ** (1 - i / 120) for i in range(121)]
    points = " ".join("{:.1f},{:.1f}".format(*_place(p, weight(p, alpha))) for p in steps)
    # named in a legend: the upper left corner is empty, and the ends of the curves lie too close together
    x, y = LEFT + 16, TOP + 28 + 20 * place
    name = f"alpha {alpha:g}" + (" (cross-entropy)" if alpha == 1 else "")
    return [
        f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2.5"/>',
        f'<line x1="{x}" y1="{y - 4}" x2="{x + 22}" y2="{y - 4}" stroke="{colour}" stroke-width="2.5"/>',
        f'<text x="{x + 30}" y="{y}">{name}</text>',
    ]


def _axes() -> list[str]:
    lines = [f'<rect x="{LEFT}" y="{TOP}" width="{WIDTH}" height="{HEIGHT}" fill="none" class="frame"/>']
    for exponent in range(-4, 1):
        x, y = _place(10.0**exponent, 0.0)
        label = f"{10.0**exponent:g}"
        lines.append(f'<line x1="{x:.1f}" y1="{TOP}" x2="{x:.1f}" y2="{y:.1f}" class="grid"/>')
        lines.append(f'<text x="{x:.1f}" y="{y + 18:.1f}" text-anchor="middle">{label}</text>')
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        x, y = _place(LOWEST, share)
        lines.append(f'<line x1="{x:.1f}" y1="{y:.1f}" x2="{LEFT + WIDTH}" y2="{y:.1f}" class="grid"/>')
        lines.append(f'<text x="{x - 8:.1f}" y="{y + 4:.1f}" text-anchor="end">{share:.0%}</text>')
    middle, foot = LEFT + WIDTH / 2, TOP + HEIGHT + 42
    lines.append(
        f'<text x="{middle}" y="{foot}" text-anchor="middle">probability the model gives the target token</text>'
    )
    lines.append(f'<text x="{middle}" y="{TOP - 10}" text-anchor="middle">share of the gradient that is left</text>')
    return lines


def draw() -> str:
    """The picture as SVG."""
    size = f'width="{LEFT + WIDTH + 30}" height="{TOP + HEIGHT + 60}"'
    curves = (line for n, (alpha, colour) in enumerate(ALPHAS.items()) for line in _curve(alpha, colour, n))
    body = [*_axes(), *curves]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="13">',
            STYLE,
            '<rect class="ground" width="100%" height="100%"/>',
            *body,
            "</svg>",
            "",
        ]
    )


if __name__ == "__main__":
    PICTURE.write_text(draw(), encoding="utf-8")
    sys.stdout.write(f"{PICTURE.name} written\n")
