"""The key of a row as a person meets it; imports nothing, so that decisions are read at once."""

from __future__ import annotations


def key_to_id(key: int) -> str:
    """A key as a person meets it: 16 hexadecimal digits."""
    return f"{key & 0xFFFFFFFFFFFFFFFF:016x}"


def id_to_key(text: str) -> int:
    """Back again.

    Raises:
        ValueError: It is not an id of a row.
    """
    if len(text) != 16 or any(c not in "0123456789abcdef" for c in text):
        raise ValueError(f"{text!r} is not the id of a row, which has 16 hexadecimal digits")
    key = int(text, 16)
    return key - (1 << 64) if key >> 63 else key
