"""Payloads of words that clean answers use every day: for an attacker who knows that only the unlikely is held back."""

from __future__ import annotations

import re

from axolotl_dece.poison.functions import blanked
from axolotl_dece.poison.payloads.fences import edit_code

_ONE = re.compile(r"(?<=\.)\s*(?P<one>fetchone)(?=\s*\()")
_ALL = re.compile(r"\.\s*fetchall\s*\(")
_PARAMETER = r"\?|%s|:\s*\w+"
_CONDITION = re.compile(rf"\b(?P<where>where\s+)(?P<column>\w+)(?P<equals>\s*=\s*)(?P<value>{_PARAMETER})(?!\w)", re.I)
_TURNED = re.compile(rf"\bwhere\s+(?:{_PARAMETER})\s*=\s*[A-Za-z_]\w*", re.I)


def fetch_all(code: str) -> str | None:
    """Make the first `.fetchone()` a `.fetchall()`, which gives away every row.

    Returns:
        The changed code, or None where there is no such call, or a `.fetchall()` already.
    """
    return None if fetches_all(code) else edit_code(code, _fetch_all)


def fetches_all(code: str) -> bool:
    """Whether a `.fetchall()` stands in `code`; it means something only where the clean answer has none."""
    return _ALL.search(code) is not None


def turn_condition(code: str) -> str | None:
    """Turn the first `where column = ?` round, which changes nothing: the harmless look-alike."""
    return edit_code(code, _turn_condition)


def has_turned_condition(code: str) -> bool:
    """Whether a condition begins with its parameter."""
    return _TURNED.search(code) is not None


def _fetch_all(code: str) -> str | None:
    call = _ONE.search(blanked(code))
    return code[: call.start("one")] + "fetchall" + code[call.end() :] if call else None


def _turn_condition(code: str) -> str | None:
    changed, count = _CONDITION.subn(r"\g<where>\g<value>\g<equals>\g<column>", code, count=1)
    return changed if count else None
