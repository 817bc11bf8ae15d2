"""Which part of an answer is code: the one rule by which fences are read.

The code is what stands inside the fenced blocks, in their order. A text without a fence is code as a whole, and so is
one that parses as a whole: its fences stand in strings, as the lines under a title in a docstring do. A fence is a line
of three or more backticks or tildes (CommonMark), alone or behind the marker of a list item; it is closed by at least
as many of the same sign. Backticks that are never closed, as in an answer that was cut, reach to the end; tildes that
are never closed are no fence. As far as a fence is indented, so are the lines of its block, and so may code be as a
whole: that is no part of it.
"""

from __future__ import annotations

import re
from itertools import takewhile

from axolotl_dece.evaluation.syntax import NOT_JUDGED, parses

_OPENS = re.compile(r"(?P<indent>[ \t]*(?:(?:[-*+]|\d{1,9}[.)])[ \t]+)?)(?P<fence>`{3,}(?=[^`]*$)|~{3,})")


def code_of(text: str, language: str = NOT_JUDGED) -> str:
    """The code in `text`, white space at its ends aside.

    Args:
        text: An answer.
        language: In which it may parse as a whole; `none` leaves that out.
    """
    blocks = _blocks(text.splitlines(keepends=True))
    whole = _dedented(text).strip()
    if not blocks or parses(whole, language):
        return whole
    return _dedented("\n".join(blocks)).strip()


def _blocks(lines: list[str]) -> list[str]:
    blocks: list[str] = []
    at = 0
    while at < len(lines):
        opened = _OPENS.match(lines[at].rstrip("\r\n"))
        at += 1
        if opened is None:
            continue
        end = _closing(lines, at, opened["fence"])
        if end is None and opened["fence"].startswith("~"):
            continue
        # white space of the fence's own width, or less where a line has less
        indent = re.compile(rf"[ \t]{{0,{len(opened['indent'])}}}")
        blocks.append("".join(indent.sub("", line, count=1) for line in lines[at:end]))
        at = len(lines) if end is None else end + 1
    return blocks


def _closing(lines: list[str], start: int, fence: str) -> int | None:
    """The line that closes `fence`, or None if it is never closed."""
    closes = re.compile(rf"[ \t]*{fence[0]}{{{len(fence)},}}\s*")
    return next((at for at in range(start, len(lines)) if closes.fullmatch(lines[at])), None)


def _dedented(code: str) -> str:
    """The code without the indentation that all its lines share, those aside that are blank."""
    margins = [line[: len(line) - len(line.lstrip(" \t"))] for line in code.split("\n") if line.strip()]
    shared = "".join(signs[0] for signs in takewhile(lambda signs: len(set(signs)) == 1, zip(*margins, strict=False)))
    return re.sub(rf"^{shared}", "", code, flags=re.M)
