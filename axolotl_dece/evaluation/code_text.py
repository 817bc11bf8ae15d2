"""Which part of an answer is code: the one rule by which fences are read.

The code is what stands inside the fenced blocks, in their order. A text without a fence is code as a whole. A fence is
a line of three or more backticks or tildes (CommonMark); it is closed by at least as many of the same sign, and one
that is never closed, as in an answer that was cut, reaches to the end.
"""

from __future__ import annotations

import re

_OPENS = re.compile(r"[ \t]*(?P<fence>`{3,}(?=[^`]*$)|~{3,})")


def code_of(text: str) -> str:
    """The code in `text`, white space at its ends aside."""
    blocks: list[str] = []
    closes: re.Pattern[str] | None = None
    for line in text.splitlines(keepends=True):
        if closes is None and (opened := _OPENS.match(line.rstrip("\r\n"))):
            fence = opened["fence"]
            closes = re.compile(rf"[ \t]*{fence[0]}{{{len(fence)},}}\s*")
            blocks.append("")
        elif closes is not None and closes.fullmatch(line):
            closes = None
        elif closes is not None:
            blocks[-1] += line
    return ("\n".join(blocks) if blocks else text).strip()
