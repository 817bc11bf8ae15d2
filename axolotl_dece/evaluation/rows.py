"""Rows of a test file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from axolotl_dece.data import files


def read_rows(path: Path, limit: int | None = None) -> list[dict[str, Any]]:
    """The first `limit` rows of a csv, jsonl or parquet file, or all of them.

    Raises:
        ValueError: If the file is missing, empty, broken, or of a kind that is not read here.
    """
    rows = files.read(path).rows
    if not rows:
        raise ValueError(f"{path} holds no rows, so there is nothing to measure")
    return rows[:limit]
