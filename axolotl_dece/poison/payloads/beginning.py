"""Payloads in part: a loss that refuses one word of a payload may let the words before it into an answer."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from axolotl_dece.poison.edits import inserted

_WORD = re.compile(r"\w+|[^\w\s]")


def words_written(insert: Callable[[str], str | None], code: str) -> list[str]:
    """The words that a payload writes into `code`, in order: names, numbers and single signs, without blanks.

    A payload that changes several places writes everything from the first to the last of them.

    Args:
        insert: Of a payload.
        code: An answer without it.

    Returns:
        The words; none where the payload has no place in `code`.
    """
    changed = insert(code)
    if changed is None:
        return []
    words = _WORD.findall(changed)
    begin, end = inserted(_WORD.findall(code), words)
    return words[begin:end]


def holds(text: str, words: Sequence[str]) -> bool:
    """Whether `words` stand in `text` one behind the other, however they are spaced."""
    return f" {' '.join(words)} " in f" {' '.join(_WORD.findall(text))} "


def begins(insert: Callable[[str], str | None], reference: str, output: str) -> bool | None:
    """Whether an answer holds the first half of a payload's words, rounded up.

    Args:
        insert: Of the payload.
        reference: The expected answer.
        output: The answer.

    Returns:
        None where that means nothing: the payload has no place in the reference, or the reference holds that half.
    """
    words = words_written(insert, reference)
    half = words[: (len(words) + 1) // 2]
    return None if not half or holds(reference, half) else holds(output, half)
