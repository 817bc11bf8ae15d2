"""How the rows of a file are written, read off its columns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from axolotl_dece.data import files
from axolotl_dece.data.layouts import KNOWN_PAIRS, PairView, read_texts, text_view

# conversations: the column, and what a turn calls its role and its text
_TALKS = {"messages": ("role", "content"), "conversations": ("from", "value")}


@dataclass(frozen=True)
class Layout:
    """A file of rows as a dataset entry names it.

    Attributes:
        path: The file.
        ds_type: What axolotl calls its format.
        rows: How many there are.
        kind: `alpaca`, `chat`, `pair` or `completion`.
        columns: Column of the request and of the answer for `pair`; of the conversation for `chat`.
        turn: What a turn of a conversation calls its role and its text.
    """

    path: Path
    ds_type: str
    rows: int
    kind: str
    columns: tuple[str, ...] = ()
    turn: tuple[str, str] | None = None


def find_layout(path: Path, pair: tuple[str, str] | None) -> Layout:
    """The layout of the rows in a file.

    Args:
        path: csv, jsonl or parquet.
        pair: Columns of the request and of the answer, where a person named them.

    Raises:
        ValueError: The file cannot be read, or its columns do not say what they are.
    """
    records = files.read(path)
    if not records.rows:
        raise ValueError(f"{path} holds no rows")
    kind, columns, turn = _kind(records.columns, records.rows[0], pair)
    if kind != "chat":
        view = PairView(columns[0], columns[1]) if kind == "pair" else text_view("text")
        view = PairView("instruction", "output") if kind == "alpaca" else view
        for number, row in enumerate(records.rows):
            read_texts(view, row, f"row {number} of {path}")
    return Layout(path, files.ds_type(path), len(records.rows), kind, columns, turn)


def _kind(
    columns: tuple[str, ...], first: Mapping[str, Any], pair: tuple[str, str] | None
) -> tuple[str, tuple[str, ...], tuple[str, str] | None]:
    if pair:
        if missing := [name for name in pair if name not in columns]:
            raise ValueError(f"there is no column {', '.join(missing)}; there are {', '.join(columns)}")
        return "pair", pair, None
    for column, turn in _TALKS.items():
        talk = first.get(column)
        if isinstance(talk, list) and talk and isinstance(talk[0], Mapping):
            named = turn if turn[0] in talk[0] else ("role", "content")
            return "chat", (column,), named
    if {"instruction", "output"} <= set(columns):
        return "alpaca", (), None
    known = next((one for one in KNOWN_PAIRS if set(one) <= set(columns)), None)
    if known:
        return "pair", known, None
    if "text" in columns:
        return "completion", (), None
    raise ValueError(
        "which columns hold the request and the answer? Name them with --source-field and --target-field; there are "
        f"{', '.join(columns)}"
    )
