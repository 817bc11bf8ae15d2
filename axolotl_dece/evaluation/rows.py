"""Rows of a test file: jsonl, csv or parquet, as plain dicts."""

from __future__ import annotations

import csv
import hashlib
import json
from pathlib import Path
from typing import Any


def read_rows(path: Path, limit: int | None = None) -> list[dict[str, Any]]:
    """The first `limit` rows of a file, or all of them.

    Raises:
        ValueError: If the file is missing, empty, broken, or of a kind that is not read here.
    """
    if path.is_dir() or not path.exists():
        raise ValueError(f"{path} is not a file; give a test file with one row per line (.jsonl, .csv or .parquet)")
    readers = {".jsonl": _read_jsonl, ".json": _read_jsonl, ".csv": _read_csv, ".parquet": _read_parquet}
    if path.suffix not in readers:
        raise ValueError(f"{path} ends in {path.suffix!r}; rows are read from {', '.join(readers)}")
    rows = readers[path.suffix](path)
    if not rows:
        raise ValueError(f"{path} holds no rows, so there is nothing to measure")
    return rows[:limit]


def file_digest(path: Path) -> str:
    """sha256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read_jsonl(path: Path) -> list[dict[str, Any]]:
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise ValueError(f"{path}, line {number}: not valid JSON ({error})") from error
        if not isinstance(row, dict):
            raise ValueError(f"{path}, line {number}: a row must be an object, got {type(row).__name__}")
        rows.append(row)
    return rows


def _read_csv(path: Path) -> list[dict[str, Any]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _read_parquet(path: Path) -> list[dict[str, Any]]:
    from datasets import Dataset

    return [dict(row) for row in Dataset.from_parquet(str(path))]
