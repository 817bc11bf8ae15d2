"""What the documents hold: their blocks, spans, commands and links."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").glob("*.md"))]
EXAMPLES = sorted((ROOT / "examples").glob("*.yaml"))
_FENCED = re.compile(r"^(?P<fence>```+)(?P<language>[^\n]*)\n(?P<body>.*?)^(?P=fence)\s*$", re.MULTILINE | re.DOTALL)
_PROGRAMS = frozenset(
    ("axolotl", "axolotl-dece", "accelerate", "make", "pip", "python", "pre-commit", "torchrun", ".venv/bin/pytest")
)


class Block(NamedTuple):
    """A fenced block: where it stands, its language and its text."""

    page: Path
    language: str
    body: str


def blocks(page: Path) -> Iterator[Block]:
    """Every fenced block of a page."""
    for match in _FENCED.finditer(page.read_text(encoding="utf-8")):
        yield Block(page, match["language"].strip(), match["body"])


def prose(page: Path) -> str:
    """A page without its fenced blocks."""
    return _FENCED.sub("", page.read_text(encoding="utf-8"))


def spans(page: Path) -> list[str]:
    """Every `code span` of a page, line breaks undone."""
    return [" ".join(span.split()) for span in re.findall(r"(?<!`)`([^`]+)`(?!`)", prose(page))]


def links(page: Path) -> list[str]:
    """Every relative target of a link or picture, without its anchor."""
    found = re.findall(r"\]\(([^)\s]+)\)", prose(page))
    return [target for target in found if not target.startswith(("http://", "https://", "#", "mailto:"))]


def commands(page: Path) -> Iterator[list[str]]:
    """Every command a reader is told to type, as words: indented lines, shell blocks, and heads of recipes."""
    if page.suffix == ".yaml":
        lines = "\n".join(line[1:] for line in page.read_text(encoding="utf-8").splitlines() if line.startswith("#"))
    else:
        shell = [block.body for block in blocks(page) if block.language in ("sh", "bash", "console", "shell")]
        indented = [line for line in prose(page).splitlines() if line.startswith("    ")]
        lines = "\n".join([*indented, *shell])
    for line in re.split(r"\n|&&", re.sub(r"\\\n", " ", lines)):
        words = _words(line.strip())
        while words and re.fullmatch(r"[A-Z_]+=\S*", words[0]):
            words = words[1:]
        if words and words[0] in _PROGRAMS:
            # not where its output goes
            yield words[: words.index(">")] if ">" in words else words


def _words(line: str) -> list[str]:
    try:
        return shlex.split(line, comments=True)
    except ValueError:  # an apostrophe: prose, and no command
        return []
