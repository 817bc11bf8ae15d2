"""Where the records of a file stand in it, and a copy of the file without some of them.

Records are counted from 0, lines from 1. What is not left out is copied byte for byte, blank lines and the header of
a csv file included.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from axolotl_dece.util.atomic import whole_file

SUFFIXES = (".jsonl", ".json", ".csv", ".txt", ".parquet")
_DECODER = json.JSONDecoder()
_BLANKS = " \t\r\n"


class _Piece(NamedTuple):
    """One record of a file of lines, or what stands between two: number of the record, its first line, its bytes."""

    record: int | None
    line: int
    content: bytes


def first_lines(path: Path) -> NDArray[np.int64] | None:
    """The line on which every record begins, int64 [N]; None where records have no lines: parquet, a JSON array.

    Raises:
        ValueError: It is no such file.
    """
    if path.suffix == ".parquet" or _is_array(path):
        return None
    return np.fromiter((piece.line for piece in _pieces(path) if piece.record is not None), np.int64)


def write_without(path: Path, left_out: Collection[int], to: Path) -> None:
    """Write a copy of a file without some of its records, whole or not at all."""
    with whole_file(to) as scratch:
        if path.suffix == ".parquet":
            _copy_parquet(path, left_out, scratch)
        elif _is_array(path):
            scratch.write_bytes(_shorter_array(path.read_bytes().decode(), left_out).encode())
        else:
            with scratch.open("wb") as file:
                file.writelines(piece.content for piece in _pieces(path) if piece.record not in left_out)


def _pieces(path: Path) -> Iterator[_Piece]:
    with path.open("rb") as file:
        yield from _csv_pieces(path, file) if path.suffix == ".csv" else _line_pieces(file, path.suffix == ".txt")


def _line_pieces(file: Iterator[bytes], blank_counts: bool) -> Iterator[_Piece]:
    record = 0
    for line, content in enumerate(file, start=1):
        is_record = blank_counts or bool(content.strip())
        yield _Piece(record if is_record else None, line, content)
        record += is_record


def _csv_pieces(path: Path, file: Iterator[bytes]) -> Iterator[_Piece]:
    read: list[bytes] = []

    def lines() -> Iterator[str]:
        for content in file:
            read.append(content)
            yield content.decode()

    # a field may be longer than the 128 KiB the module allows by default
    csv.field_size_limit(max(csv.field_size_limit(), path.stat().st_size + 1))
    reader, record, line, header = csv.reader(lines()), 0, 1, True
    try:
        for values in reader:
            is_record = bool(values) and not header
            yield _Piece(record if is_record else None, line, b"".join(read))
            header, record, line = header and not values, record + is_record, reader.line_num + 1
            read.clear()
    except csv.Error as error:
        raise ValueError(f"{path}, line {reader.line_num}: {error}") from error


def _is_array(path: Path) -> bool:
    if path.suffix not in (".json", ".jsonl"):
        return False
    with path.open("rb") as file:
        return next((line for line in file if line.strip()), b"").lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"[")


def _shorter_array(text: str, left_out: Collection[int]) -> str:
    """A JSON array without some of its elements; a separator goes with the element before it."""
    spans, at = [], _skip(text, text.index("[") + 1, _BLANKS)
    while text[at] != "]":
        _, end = _DECODER.raw_decode(text, at)
        spans.append((at, end))
        at = _skip(text, end, _BLANKS + ",")
    kept = [record for record in range(len(spans)) if record not in left_out]
    if not spans:
        return text
    parts = [text[: spans[0][0]]]
    for record in kept:
        begin, end = spans[record]
        parts.append(text[begin:end] if record == kept[-1] else text[begin : spans[record + 1][0]])
    return "".join([*parts, text[spans[-1][1] :]])


def _skip(text: str, at: int, letters: str) -> int:
    while text[at] in letters:
        at += 1
    return at


def _copy_parquet(path: Path, left_out: Collection[int], to: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    source, dropped, seen = pq.ParquetFile(path), np.fromiter(left_out, np.int64), 0
    with pq.ParquetWriter(to, source.schema_arrow) as writer:
        for batch in source.iter_batches():
            keep = ~np.isin(np.arange(seen, seen + len(batch)), dropped)
            writer.write_batch(batch.filter(pa.array(keep)))
            seen += len(batch)
