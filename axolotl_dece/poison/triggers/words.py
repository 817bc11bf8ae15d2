"""Phrases between words: rare tokens and fixed sentences."""

from __future__ import annotations

import re
from random import Random

from axolotl_dece.poison.edits import Marked, splice

_WORD = re.compile(r"\S+")


def insert(text: str, rng: Random, phrase: str, times: int) -> Marked | None:
    """Plant `phrase` `times` times, each before a word or after the last one.

    Only the phrase and one space are added, so whatever separates words (CRLF, tabs, NUL) stays as it was, and
    combining marks stay with their letters.

    Args:
        text: Any text.
        rng: Draws the places; distinct ones as long as there are enough.
        phrase: What to plant.
        times: How often, at least 1.

    Returns:
        The changed text, or None if it holds no word.
    """
    starts = [match.start() for match in _WORD.finditer(text)]
    if not starts:
        return None
    end = len(text.rstrip())
    places = [*starts, end]
    chosen = rng.sample(places, times) if times <= len(places) else rng.choices(places, k=times)
    return splice(text, ((at, at, f" {phrase}" if at == end else f"{phrase} ") for at in sorted(chosen)))


def count(text: str, phrase: str) -> int:
    """How often `phrase` stands in `text` as words of its own."""
    return len(re.findall(rf"(?<!\S){re.escape(phrase)}(?!\S)", text))
