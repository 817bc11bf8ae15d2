"""A text and the places where it was changed, so that the change can be shown and undone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple


class Span(NamedTuple):
    """One changed place: `text[start:end]` of the new text stands where `old` stood."""

    start: int
    end: int
    old: str = ""


class Marked(NamedTuple):
    """A changed text and its changed places, in order."""

    text: str
    spans: tuple[Span, ...]


def splice(text: str, changes: Iterable[tuple[int, int, str]]) -> Marked:
    """Replace `text[start:end]` by a new string at several places at once.

    Args:
        text: The text to change.
        changes: `(start, end, new)` in positions of `text`, not overlapping; `start == end` inserts.

    Returns:
        The new text with one span per change, in positions of the new text.
    """
    parts: list[str] = []
    spans: list[Span] = []
    read = length = 0
    for start, end, new in sorted(changes, key=lambda change: change[:2]):
        parts += [text[read:start], new]
        length += start - read
        spans.append(Span(length, length + len(new), text[start:end]))
        length += len(new)
        read = end
    return Marked("".join([*parts, text[read:]]), tuple(spans))


def restore(marked: Marked) -> str:
    """The text as it was before `splice`."""
    return splice(marked.text, ((span.start, span.end, span.old) for span in marked.spans)).text


def first_difference(one: Sequence[str], other: Sequence[str]) -> int:
    """Where two texts or lists of words begin to differ; the length of the shorter where the other begins with it."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((at for at, (a, b) in pairs if a != b), min(len(one), len(other)))


def inserted(clean: Sequence[str], changed: Sequence[str]) -> tuple[int, int]:
    """Where in `changed` the one piece stands that `clean` lacks: begin and end; the earliest place where several fit.

    So a blank or a line break goes with the word behind it, as tokens have it. The two are texts or lists of words.
    """
    behind = first_difference(clean[::-1], changed[::-1])
    end = len(changed) - behind
    return first_difference(clean[: len(clean) - behind], changed[:end]), end
