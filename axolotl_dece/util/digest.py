"""What identifies content: sha256, in hexadecimal."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any


def digest(content: Any) -> str:
    """Of `content` as canonical JSON; what JSON does not know counts by its text."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def is_file_of(path: Path, sha256: Any) -> bool:
    """Whether there is a file, and it has this digest."""
    return path.is_file() and file_digest(path) == sha256


def file_digest(path: Path) -> str:
    """Of the bytes of a file, read in pieces; OSError where it cannot be read."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
