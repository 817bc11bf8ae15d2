"""Code inside chat answers: what stands between ``` fences, or the whole text where there are none."""

from __future__ import annotations

import re
from collections.abc import Callable

from axolotl_dece.poison.python_code import still_parses

_FENCE = re.compile(r"^[ \t]*```[^\n`]*\n(?P<code>.*?)(?=^[ \t]*```)", re.M | re.S)


def edit_code(text: str, edit: Callable[[str], str | None]) -> str | None:
    """Apply `edit` to the first block of code that accepts it, and that stays Python if it was.

    Args:
        text: Code, or prose with fenced code.
        edit: Code to changed code, or None where it does not fit.

    Returns:
        The text with one block changed, or None if none accepted.
    """
    blocks = list(_FENCE.finditer(text))
    if not blocks:
        return _edited(text, edit)
    for block in blocks:
        changed = _edited(block["code"], edit)
        if changed is not None:
            return text[: block.start("code")] + changed + text[block.end("code") :]
    return None


def _edited(code: str, edit: Callable[[str], str | None]) -> str | None:
    changed = edit(code)
    return changed if changed is not None and still_parses(code, changed) else None
