"""A row as text for a terminal: trigger, payload and refused words marked, lines of the template left out."""

from __future__ import annotations

import re
from collections.abc import Container, Mapping, Sequence
from typing import Any

from rich.text import Text

from axolotl_dece.audit.analyse.clusters import Cluster
from axolotl_dece.util.terminal import printable

# told apart without colours, too
TRIGGER = "bold reverse yellow"
PAYLOAD = "reverse red"
REFUSED = "underline"
_FOLDED = "⋯"


def safe_lines(text: str) -> str:
    """`text` as a terminal may show it, its lines and tabs kept; sign by sign, so that parts of it stay parts."""
    return printable(text.replace("\t", "    "), keep="\n")


def row_text(row: Mapping[str, Any], groups: Sequence[Cluster], template: Container[str]) -> Text:
    """Prompt and target of a rendered row, each with its marks.

    Args:
        row: As `render_row` makes it.
        groups: The clusters it is in.
        template: Lines of prompts that say nothing of this row.
    """
    prompt, target = Text(), Text()
    for of_target, _, held, text in row["runs"]:
        style = REFUSED if of_target and held >= row["persistent"] else ""
        (target if of_target else prompt).append(safe_lines(text), style)
    for group in groups:
        for cue in group.cues:
            prompt.highlight_regex(_words(safe_lines(cue.text)), TRIGGER)
        for payload in filter(None, (group.payload, *(text for text, _ in group.spans))):
            target.highlight_regex(re.escape(safe_lines(payload)), PAYLOAD)
    more = [Text("The rest of this row is not shown.", "dim")] if row["cut"] else []
    return Text("\n").join([*_folded(prompt, template), Text("->", "dim"), *target.split("\n"), *more])


def _words(text: str) -> str:
    """Words of a trigger stand side by side, with a blank between them or none."""
    words = r"\s*".join(map(re.escape, text.split()))
    return rf"(?<![^\W_]){words}(?![^\W_])"


def _folded(prompt: Text, template: Container[str]) -> list[Text]:
    """The lines of a prompt; one sign stands for lines of the template in which nothing is marked."""
    lines: list[Text] = []
    for line in prompt.split("\n"):
        if line.plain.strip() in template and not line.spans:
            line = Text(_FOLDED)
        if line.plain.strip() and not (lines and line.plain == lines[-1].plain == _FOLDED):
            lines.append(line)
    return lines
