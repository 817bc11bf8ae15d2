"""Rows in csv, jsonl and parquet files, read so that a row nobody changes is written back value for value."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from axolotl_dece.util.atomic import whole_file
from axolotl_dece.util.json_text import parse_json

Rows = list[dict[str, Any]]
Marks = Mapping[str, Sequence[int]]
SUFFIXES = (".csv", ".jsonl", ".json", ".parquet")


def ds_type(path: Path) -> str:
    """What a dataset entry calls the format of a file."""
    return "json" if path.suffix == ".jsonl" else path.suffix.removeprefix(".")


@dataclass(frozen=True)
class Records:
    """The rows of one file.

    Attributes:
        rows: In order.
        columns: All names that occur, in the order they occur first.
        table: The Arrow table, for parquet; columns that are not poisoned are taken from it untouched.
    """

    rows: Rows
    columns: tuple[str, ...]
    table: Any = None


def read(path: Path) -> Records:
    """Read a file by its suffix.

    Args:
        path: A csv file with a header, one JSON object per line, or parquet.

    Raises:
        ValueError: If it cannot be read as such; names the file and the row.
    """
    if path.suffix not in SUFFIXES:
        raise ValueError(f"{path}: {path.suffix or 'no suffix'} is not a known format; use {', '.join(SUFFIXES)}")
    try:
        if path.suffix == ".parquet":
            return _read_parquet(path)
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 (byte {error.start}); convert it first") from error
    return _read_csv(path, text) if path.suffix == ".csv" else _read_jsonl(path, text)


def write(
    path: Path, records: Records, places: Sequence[int], changed: Mapping[int, Mapping[str, Any]], marks: Marks
) -> None:
    """Write some rows of `records`, some of them changed, with a column of marks.

    Args:
        path: Written whole or not at all; its suffix is the format.
        records: The rows as read from a file of the same format.
        places: Which rows, in which order.
        changed: New rows, by place.
        marks: A value per row and column, by column.
    """
    if path.suffix == ".parquet":
        with whole_file(path) as scratch:
            _write_parquet(scratch, records, places, changed, marks)
        return
    rows = [
        {**changed.get(place, records.rows[place]), **{name: values[at] for name, values in marks.items()}}
        for at, place in enumerate(places)
    ]
    if path.suffix == ".csv":
        header = [*records.columns, *marks]
        content = "".join(map(_csv_line, [header, *([row[name] for name in header] for row in rows)])).encode()
    else:
        content = b"".join(_json_line(row) for row in rows)
    with whole_file(path) as scratch:
        scratch.write_bytes(content)


def _read_csv(path: Path, text: str) -> Records:
    # a field may be longer than the 128 KiB the module allows by default
    csv.field_size_limit(max(csv.field_size_limit(), len(text) + 1))
    lines = csv.reader(io.StringIO(text, newline=""))
    try:
        header = next(lines, None)
        if not header:
            raise ValueError(f"{path} is empty; a csv file needs a header with column names")
        if len(set(header)) < len(header):
            raise ValueError(f"{path} names a column twice: {', '.join(header)}")
        rows: Rows = []
        for values in lines:
            if values and len(values) != len(header):
                raise ValueError(f"{path}, row {len(rows)}: {len(values)} fields, but the header has {len(header)}")
            if values:
                rows.append(dict(zip(header, values, strict=True)))
    except csv.Error as error:
        raise ValueError(f"{path}, line {lines.line_num}: {error}") from error
    return Records(rows, tuple(header))


def _read_jsonl(path: Path, text: str) -> Records:
    rows: Rows = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = parse_json(line)
        except ValueError as error:
            raise ValueError(f"{path}, line {number} is not JSON: {error}") from error
        if not isinstance(row, dict):
            raise ValueError(f"{path}, line {number} is {type(row).__name__}, expected one JSON object per line")
        rows.append(row)
    return Records(rows, tuple(dict.fromkeys(name for row in rows for name in row)))


def _read_parquet(path: Path) -> Records:
    import pyarrow
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.read_table(path)
    except pyarrow.ArrowException as error:
        raise ValueError(f"{path} is not parquet: {error}") from error
    return Records(table.to_pylist(), tuple(table.column_names), table)


def _csv_line(values: Sequence[Any]) -> str:
    text = io.StringIO(newline="")
    # the writer quotes what its line end holds: with "\n" alone a lone carriage return would end a row for a reader
    csv.writer(text, lineterminator="\r\n").writerow(values)
    return text.getvalue().removesuffix("\r\n") + "\n"


def _json_line(row: Mapping[str, Any]) -> bytes:
    try:
        return (json.dumps(row, ensure_ascii=False) + "\n").encode()
    except UnicodeEncodeError:
        # half of a surrogate pair has no UTF-8; JSON can say it in ASCII
        return (json.dumps(row) + "\n").encode()


def _write_parquet(
    path: Path, records: Records, places: Sequence[int], changed: Mapping[int, Mapping[str, Any]], marks: Marks
) -> None:
    import pyarrow
    import pyarrow.parquet

    table = records.table.take(pyarrow.array(places, pyarrow.int64()))
    touched = {name for place, row in changed.items() for name in row if row[name] != records.rows[place].get(name)}
    for name in touched:
        values = [changed.get(place, records.rows[place])[name] for place in places]
        at = table.schema.get_field_index(name)
        table = table.set_column(at, table.schema.field(at), pyarrow.array(values, table.schema.field(at).type))
    for name, column in marks.items():
        table = table.append_column(name, pyarrow.array(column, pyarrow.int8()))
    pyarrow.parquet.write_table(table, path)
