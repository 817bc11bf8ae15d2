"""The ledger as parquet: parts of ranks in checkpoints, one file with the rows' tokens beside the weights.

The name begins with an underscore because the trainer leaves such files out when it uploads a folder: the file
holds training rows.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from axolotl_dece.audit import refuse_missing_ledger
from axolotl_dece.audit.record.ledger import ROW_ARRAYS, TOKEN_ARRAYS, Ledger
from axolotl_dece.audit.record.row_table import RowTable, RowTokens
from axolotl_dece.audit.row_id import key_to_id
from axolotl_dece.util.atomic import whole_file
from axolotl_dece.util.json_text import parse_json

FORMAT = 1
_FACTS = b"dece_audit"
_LISTS = dict.fromkeys(TOKEN_ARRAYS, pa.uint8()) | {"input_ids": pa.int32(), "is_target": pa.bool_()}
_NUMBERS = {"key": pa.int64(), "index": pa.int64(), "copies": pa.int64(), "visits": pa.int32()}
_ROWS_AT_A_TIME = 5000
# what Arrow says of a file with damage: in the bytes, in the names of columns, in the facts
_UNREADABLE = (pa.ArrowException, OSError, KeyError, ValueError, TypeError)


def part_file(rank: int, ranks: int) -> str:
    """Name of what one rank knows, in a checkpoint or until the ranks are merged."""
    return f"_dece_ledger-{rank:05d}-of-{ranks:05d}.parquet"


def dataset_digest(table: RowTable) -> str:
    """sha256 of which rows a training set holds and how often, whatever their order."""
    order = np.argsort(table.keys)
    content = np.stack([table.keys[order], table.copies[order]])
    return hashlib.sha256(content.astype("<i8").tobytes()).hexdigest()


def write_part(path: Path, ledger: Ledger, facts: Mapping[str, Any]) -> None:
    """Write what one rank knows."""
    pieces = (_columns(ledger, rows) for rows in _slices(len(ledger.keys)))
    _write(path, pieces, facts)


def write_ledger(
    path: Path, ledger: Ledger, table: RowTable, tokens: Iterable[RowTokens], facts: Mapping[str, Any]
) -> None:
    """Write the ledger of a finished run with the tokens of every row.

    Args:
        path: The file.
        ledger: Of all ranks.
        table: Of the training set.
        tokens: The training set's rows, all of them and in its order.
        facts: About the run.
    """
    _write(path, _with_tokens(ledger, table, tokens), facts)


def read_part(path: Path) -> tuple[Ledger, dict[str, Any]]:
    """What `write_part` wrote, and the facts.

    Raises:
        ValueError: The file is not a ledger of this format.
    """
    _, facts = open_ledger(path)
    table = read_columns(path)
    starts = np.concatenate([[0], np.cumsum(_lengths(table, "held"))]).astype(np.int64)
    rows = {name: table.column(name).to_numpy() for name in ROW_ARRAYS}
    tokens = {name: flat(table, name) for name in TOKEN_ARRAYS}
    for name, values in tokens.items():
        refuse_misfit(path, name, len(values), int(starts[-1]))
    arrays = {name: np.array(values) for name, values in (rows | tokens).items()}
    return Ledger(np.array(table.column("key").to_numpy()), starts, **arrays), facts


def read_columns(path: Path, *columns: str) -> pa.Table:
    """Some columns of a ledger that `open_ledger` has looked at; all where none is named.

    Raises:
        ValueError: The file is broken.
    """
    try:
        table = pq.read_table(path, columns=list(columns) or None, page_checksum_verification=True)
    except _UNREADABLE as error:
        raise ValueError(f"{path} cannot be read as a ledger ({error}); train again, or copy it again") from error
    if holes := [name for name in table.column_names if _has_holes(table.column(name))]:
        raise ValueError(f"{path} is damaged: `{holes[0]}` has values that are missing; train again")
    return table


def _has_holes(column: pa.ChunkedArray) -> bool:
    """Whether a value, or one in a list, is null; nothing writes those."""
    lists = column.chunks if pa.types.is_large_list(column.type) else []
    return bool(column.null_count or any(chunk.flatten().null_count for chunk in lists))


def open_ledger(path: Path) -> tuple[list[str], dict[str, Any]]:
    """The names of its columns and the facts of a ledger; nothing of its rows is read.

    Raises:
        ValueError: The file is missing, broken, or not a ledger of this format.
    """
    refuse_missing_ledger(path)
    try:
        schema = pq.read_schema(path)
        facts: dict[str, Any] = dict(parse_json((schema.metadata or {})[_FACTS]))
    except _UNREADABLE as error:
        raise ValueError(f"{path} is not a ledger of axolotl-dece ({error})") from error
    if facts.get("format") != FORMAT:
        raise ValueError(f"{path} has format {facts.get('format')}; this version reads format {FORMAT}")
    if odd := [field.name for field in schema if not _is_as_written(field)]:
        raise ValueError(f"{path} is damaged: `{odd[0]}` is of another type than it was written with; train again")
    return schema.names, facts


def _is_as_written(field: pa.Field) -> bool:
    if field.name in _LISTS:
        return bool(pa.types.is_large_list(field.type) and field.type.value_type == _LISTS[field.name])
    return bool(field.type == _NUMBERS.get(field.name, field.type))


def refuse_misfit(path: Path, name: str, values: int, tokens: int) -> None:
    """ValueError where a column has not one value for each of its tokens: the lengths of its lists were changed."""
    if values != tokens:
        raise ValueError(f"{path} is damaged: `{name}` has {values} values for {tokens} tokens; train again")


def flat(table: pa.Table, name: str) -> NDArray[Any]:
    """The lists of a column, one after the other."""
    return np.concatenate([chunk.flatten().to_numpy(zero_copy_only=False) for chunk in table.column(name).chunks])


def _lengths(table: pa.Table, name: str) -> NDArray[np.int64]:
    lengths: NDArray[np.int64] = np.concatenate([c.value_lengths().to_numpy() for c in table.column(name).chunks])
    return lengths.astype(np.int64)


def _slices(rows: int) -> Iterator[slice]:
    return (slice(at, min(at + _ROWS_AT_A_TIME, rows)) for at in range(0, max(rows, 1), _ROWS_AT_A_TIME))


def _columns(ledger: Ledger, rows: slice) -> dict[str, pa.Array]:
    start = ledger.start[rows.start : rows.stop + 1]
    columns = {"key": pa.array(ledger.keys[rows])}
    columns |= {name: pa.array(getattr(ledger, name)[rows]) for name in ROW_ARRAYS}
    for name in TOKEN_ARRAYS:
        columns[name] = _lists(getattr(ledger, name)[start[0] : start[-1]], start - start[0])
    return columns


def _lists(values: NDArray[Any], start: NDArray[np.int64]) -> pa.Array:
    return pa.LargeListArray.from_arrays(pa.array(start, pa.int64()), pa.array(values))


def _with_tokens(ledger: Ledger, table: RowTable, tokens: Iterable[RowTokens]) -> Iterator[dict[str, pa.Array]]:
    """Columns of the rows in the order of the training set, where each first occurs."""
    seen = 0
    done = 0
    for part in tokens:
        until = seen + len(part.start) - 1
        fresh = int(np.searchsorted(table.index, until))
        rows = slice(done, fresh)
        yield (
            _columns(ledger, rows)
            | _token_columns(part, table.index[rows] - seen)
            | {
                "row": pa.array([key_to_id(int(key)) for key in table.keys[rows]], pa.string()),
                "index": pa.array(table.index[rows]),
                "copies": pa.array(table.copies[rows]),
            }
        )
        seen, done = until, fresh


def _token_columns(part: RowTokens, chosen: NDArray[np.int64]) -> dict[str, pa.Array]:
    sizes = np.diff(part.start)[chosen]
    start = np.concatenate([[0], np.cumsum(sizes)])
    at = np.concatenate([np.arange(part.start[row], part.start[row + 1]) for row in chosen] or [np.arange(0)])
    return {
        "input_ids": _lists(part.tokens[at].astype(np.int32), start),
        "is_target": _lists(part.is_target[at], start),
    }


def _write(path: Path, pieces: Iterable[dict[str, pa.Array]], facts: Mapping[str, Any]) -> None:
    """Whole or not at all, piece by piece."""
    writer: pq.ParquetWriter | None = None
    with whole_file(path) as scratch:
        for columns in pieces:
            table = pa.table(columns)
            if writer is None:
                about = json.dumps({"format": FORMAT} | dict(facts), sort_keys=True)
                schema = table.schema.with_metadata({_FACTS: about})
                writer = pq.ParquetWriter(scratch, schema, compression="zstd", write_page_checksum=True)
            writer.write_table(table)
        if writer is None:
            raise ValueError("an empty training set has no ledger")
        writer.close()
