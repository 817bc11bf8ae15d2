"""Texts of data as a terminal may show them."""

from __future__ import annotations

import unicodedata

# controls, marks that turn the order of letters around, halves of a letter, and what ends a line
_UNSAFE = ("Cc", "Cf", "Cs", "Zl", "Zp")


def printable(text: str, keep: str = "") -> str:
    """`text` with what a terminal would obey instead of show written out: `\\x1b[31m` stays these seven signs.

    Args:
        text: Anything.
        keep: Signs to leave as they are, such as line ends.
    """
    return "".join(letter if letter in keep else _written_out(letter) for letter in text)


def shown(text: str) -> str:
    """A text as rich may show it: no markup of rich in it, and nothing that a terminal obeys."""
    from rich.markup import escape

    return escape(printable(text, keep="\n"))


def _written_out(letter: str) -> str:
    return letter.encode("unicode_escape").decode() if unicodedata.category(letter) in _UNSAFE else letter
