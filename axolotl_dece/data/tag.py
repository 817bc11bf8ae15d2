"""The mark that poisoning leaves on a dataset entry; whoever reads entries has to see through it."""

from __future__ import annotations

from typing import Literal, NamedTuple

Split = Literal["train", "test"]
_PREFIX = "dece_poison"


class Tag(NamedTuple):
    """What poisoning leaves in `input_transform` of a dataset entry.

    axolotl hashes a closed list of fields to find prepared data again; this field is among them, and only
    `type: messages` reads it. So a tag that changes with the poisoning makes the prepared data change with it.

    Attributes:
        split: Whether the entry trains, or tests fully triggered.
        fingerprint: Digest of everything that decides the rows.
        users: What the user had written there.
    """

    split: Split
    fingerprint: str
    users: str | None = None

    def __str__(self) -> str:
        return ":".join([_PREFIX, self.split, self.fingerprint, *([self.users] if self.users else [])])

    @classmethod
    def parse(cls, text: str | None) -> Tag | None:
        """The tag in a field, or None where there is none."""
        if not text or not text.startswith(f"{_PREFIX}:"):
            return None
        _, split, fingerprint, *users = text.split(":", 3)
        return cls("test" if split == "test" else "train", fingerprint, users[0] if users else None)
