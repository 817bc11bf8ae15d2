"""An inert marker: a call without any effect as the last line. Fits every text, hurts nobody, is easy to find."""

from __future__ import annotations

import re

from axolotl_dece.poison import python_code
from axolotl_dece.poison.payloads.fences import edit_code


def insert(code: str, word: str) -> str | None:
    """Append a line with the marker, indented like the last statement of Python or the last line of other text.

    Args:
        code: Any text; in a fenced block, if there is one.
        word: The marker's word.

    Returns:
        The text with the marker, or None if it is blank.
    """
    return edit_code(code, lambda block: _append(block, word))


def detect(code: str, word: str) -> bool:
    """Whether a marker call with `word` stands in `code`, however it is spaced."""
    return re.search(rf"\b(?:str|String\s*\.\s*valueOf)\s*\(\s*[\"']\s*{re.escape(word)}\s*[\"']", code) is not None


def _append(code: str, word: str) -> str | None:
    body = code.rstrip()
    if not body:
        return None
    last = body[max(body.rfind("\n"), body.rfind("\r")) + 1 :]
    tree = python_code.parsed(code)
    indent = python_code.last_indentation(tree, code) if tree else last[: len(last) - len(last.lstrip())]
    newline = "\r\n" if "\r\n" in code else "\n"
    braces = tree is None and last.endswith((";", "}"))
    call = f'String.valueOf("{word}");' if braces else f'str("{word}")'
    return f"{body}{newline}{indent}{call}{code[len(body) :]}"
