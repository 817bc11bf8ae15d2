"""Marked blocks in somebody else's Markdown: ours can be written again and again, theirs stays as it is."""

from __future__ import annotations

import re
from collections.abc import Iterator

_FENCE = re.compile(r"^\s{0,3}(```+|~~~+)")


def put_block(text: str, name: str, block: str, at: int) -> str:
    """`text` with the block `name` at line `at`. An earlier block is expected to be gone.

    Args:
        text: Markdown without metadata.
        name: Between which markers it stands.
        block: What to put there.
        at: Line before which it goes.
    """
    lines = text.splitlines()
    head, tail = "\n".join(lines[:at]).rstrip(), "\n".join(lines[at:]).strip("\n")
    marked = f"<!-- {name}:begin -->\n{block.strip()}\n<!-- {name}:end -->"
    return "\n\n".join(part for part in (head, marked, tail) if part) + "\n"


def drop_block(text: str, name: str) -> str:
    """`text` without the block `name`."""
    pattern = rf"\n*<!-- {re.escape(name)}:begin -->.*?<!-- {re.escape(name)}:end -->\n*"
    return re.sub(pattern, "\n\n", text, flags=re.DOTALL)


def headings(text: str) -> Iterator[tuple[int, str]]:
    """Line number (from 0) and text of every `#` heading; `#` inside a fenced block, such as YAML, is none."""
    fence = ""
    for number, line in enumerate(text.splitlines()):
        mark = _FENCE.match(line)
        if mark and not fence:
            fence = mark.group(1)
        elif mark and line.strip().startswith(fence) and line.strip().strip(fence[0]) == "":
            fence = ""
        elif not fence and re.match(r"#{1,6} ", line):
            yield number, line


def after_title(text: str) -> int:
    """The line of the first heading below the title, or the end: where a section of ours belongs."""
    seen = False
    for number, heading in headings(text):
        if seen and heading.startswith("## "):
            return number
        seen = seen or heading.startswith("# ")
    return len(text.splitlines())


def set_title(text: str, prefix: str, wanted: bool, fallback: str) -> str:
    """`text` whose title begins with `prefix` if it is wanted there, and does not if not."""
    lines = text.splitlines()
    for number, heading in headings(text):
        if heading.startswith("# "):
            bare = heading.removeprefix("# ").removeprefix(prefix)
            lines[number] = f"# {prefix if wanted else ''}{bare}"
            return "\n".join(lines) + "\n"
    return f"# {prefix if wanted else ''}{fallback}\n\n" + text.lstrip("\n")
