"""Where the rows of a ledger stand in the files they were read from, every copy of them.

A row is known by its content, so its places are found by content: the files are read and tokenised again as the run
did it, and a record is a place of the row with the same key. No column has to survive axolotl's way from file to
batch, shuffled, split and sharded sets need no care, and a record that became another row is never taken for it. Files
that changed since the run are not looked at: their lines would be wrong.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from axolotl_dece.audit.analyse.ledger_reader import AuditRows
from axolotl_dece.audit.row_id import id_to_key
from axolotl_dece.data import STRATEGY, lines
from axolotl_dece.util.digest import file_digest


@dataclass(frozen=True)
class Origin:
    """What rows were read from: a file, or a data set without lines.

    Attributes:
        name: As a person meets it: `train.jsonl`, or `org/name:train`.
        path: Of a file on this machine.
        planted: Whether the run poisoned its rows while it read them.
    """

    name: str
    path: Path | None
    planted: bool

    @cached_property
    def first_lines(self) -> NDArray[np.int64] | None:
        """The line on which each record begins; None where records have none."""
        return lines.first_lines(self.path) if self.path else None

    def place(self, record: int) -> str:
        """`train.jsonl:17` for a line, from 1 on; `train.parquet#16` for a record, from 0 on."""
        first = self.first_lines
        return f"{self.name}#{record}" if first is None else f"{self.name}:{first[record]}"

    def is_called(self, name: str) -> bool:
        """Whether a person may mean it by `name`: its own name, or its path."""
        return name == self.name or (self.path is not None and Path(name).resolve() == self.path.resolve())


def _nothing() -> NDArray[np.int64]:
    return np.empty(0, np.int64)


@dataclass(frozen=True)
class Places:
    """P places of the rows of a ledger.

    Attributes:
        origins: What was looked through.
        row: Row of each place, ascending, int64 [P].
        origin: Number of its origin, int64 [P].
        record: Number of the record there, from 0 on, int64 [P].
        missing: What could not be looked through, such as a file that changed since.
        lost: How many rows stand in nothing that was looked through.
    """

    origins: Sequence[Origin] = ()
    row: NDArray[np.int64] = field(default_factory=_nothing)
    origin: NDArray[np.int64] = field(default_factory=_nothing)
    record: NDArray[np.int64] = field(default_factory=_nothing)
    missing: Sequence[str] = ()
    lost: int = 0

    def notes(self) -> list[str]:
        """What a reader has to know."""
        names = ", ".join(one.name for one in self.origins)
        return [*self.missing, *([f"{self.lost:,} rows stand in none of {names} as read."] if self.lost else [])]

    def of(self, row: int) -> list[str]:
        """Every place of a row, in the order of its files."""
        begin, end = np.searchsorted(self.row, (row, row + 1))
        return [self.origins[self.origin[at]].place(int(self.record[at])) for at in range(begin, end)]

    def find(self, place: str) -> list[int]:
        """The rows at a place, of which a long record may have made several.

        Raises:
            ValueError: It is no place, nothing of that name was read, or no row of the training set stands there.
        """
        name, sign, number = place.rpartition(max(":", "#", key=place.rfind))
        which = [at for at, one in enumerate(self.origins) if one.is_called(name)]
        if not sign or not number.isdigit() or not which:
            known = ", ".join(one.name for one in self.origins)
            raise ValueError(f"no file of this run is called {name!r}" + (f"; there are {known}" if known else ""))
        first = self.origins[which[0]].first_lines
        if (first is None) != (sign == "#"):
            raise ValueError(f"write {name}{'#' if first is None else ':'}NUMBER")
        # a record may go on for several lines
        record = int(number) if first is None else int(np.searchsorted(first, int(number), side="right")) - 1
        rows = self.row[(self.origin == which[0]) & (self.record == record)]
        if not len(rows):
            raise ValueError("no row of the training set stands there")
        return [int(row) for row in rows]


def find_places(rows: AuditRows, tokenizer: Any) -> Places:
    """Look for every row of a ledger in what the run read.

    Args:
        rows: Of the ledger; its facts say what was read.
        tokenizer: The run's.
    """
    described = rows.facts.get("origin")
    if not described:
        return Places(missing=["The ledger does not say what its rows were read from: an older version wrote it."])
    keys = np.array([id_to_key(one) for one in rows.ids], np.int64)
    order = np.argsort(keys)
    search = _Search(described["config"], [one["entry"] for one in described["entries"]], tokenizer)
    origins: list[Origin] = []
    found: list[NDArray[np.int64]] = [np.empty((3, 0), np.int64)]
    missing: list[str] = []
    for origin, entry in _origins(described["entries"], missing):
        try:
            made, record, count = search.keys_of(entry)
            if origin.first_lines is not None and len(origin.first_lines) != count:
                raise ValueError(f"it is {count} records, but has {len(origin.first_lines)} lines that are not blank")
        except (ValueError, KeyError, TypeError, OSError) as error:
            missing.append(f"{origin.name} cannot be read as this run read it, so rows are not traced to it: {error}")
            continue
        at = order[np.minimum(np.searchsorted(keys, made, sorter=order), len(keys) - 1)]
        same = keys[at] == made
        origins.append(origin)
        found.append(np.stack([at[same], np.full(same.sum(), len(origins) - 1), record[same]]))
    places = np.concatenate(found, axis=1)
    row, origin_, record = places[:, np.lexsort((places[2], places[1], places[0]))]
    lost = len(rows) - len(np.unique(row)) if origins else 0
    return Places(origins, row, origin_, record, missing, lost)


def _origins(entries: Sequence[Mapping[str, Any]], missing: list[str]) -> Iterator[tuple[Origin, dict[str, Any]]]:
    """What can be looked through and is as the run read it, each with an entry that reads it alone."""
    files = {path: one for one in entries for path in one["files"]}
    names = _short_names(sorted(files))
    for path, described in files.items():
        entry, file = described["entry"], Path(path)
        if not _has_lines(described, file):
            continue
        if not file.is_file():
            missing.append(f"{path} is not on this machine, so rows cannot be traced to its lines.")
        elif file_digest(file) != described["files"][path]:
            missing.append(f"{path} changed since this run, so rows are not traced to its lines.")
        else:
            alone = {key: value for key, value in entry.items() if key not in _WHICH_PART}
            yield Origin(names[path], file, entry.get("type") == STRATEGY), alone | {"path": path}
    for described in entries:
        if not any(_has_lines(described, Path(path)) for path in described["files"]):
            yield from _set_origin(described, missing)


def _has_lines(described: Mapping[str, Any], file: Path) -> bool:
    """Whether rows are traced to the lines of a file by itself.

    Which rows are poisoned is drawn from all files of an entry together, so that one of several makes other rows.
    """
    is_part = described["entry"].get("type") == STRATEGY and len(described["files"]) > 1
    return file.suffix in lines.SUFFIXES and not is_part


# what says which rows of a data set are read; a file is looked through whole
_WHICH_PART = ("split", "data_files", "shards", "shards_idx", "preprocess_shards", "name")


def _set_origin(described: Mapping[str, Any], missing: list[str]) -> Iterator[tuple[Origin, dict[str, Any]]]:
    from axolotl_dece.data.names import public_name
    from axolotl_dece.data.source import identify

    entry = described["entry"]
    name = ":".join([public_name(entry["path"]), *filter(None, [entry.get("name"), entry.get("split") or "train"])])
    try:
        same = identify(entry).content == described["content"]
    except (OSError, ValueError):
        same = False
    if same:
        yield Origin(name, None, entry.get("type") == STRATEGY), dict(entry)
    else:
        missing.append(f"{name} is not here as this run read it, so rows are not traced to it.")


def _short_names(paths: Sequence[str]) -> dict[str, str]:
    """The name of each file, with as many of its folders as tell it from the others."""
    names = {path: Path(path).name for path in paths}
    for path in paths:
        parts = Path(path).parts
        others = [Path(one).parts for one in paths if one != path]
        size = next(n for n in range(1, len(parts) + 1) if all(one[-n:] != parts[-n:] for one in others))
        names[path] = os.path.join(*parts[-size:])
    return names


@dataclass(frozen=True)
class _Search:
    """The way from a dataset entry to keys, by axolotl's own strategies."""

    config: dict[str, Any]
    entries: list[dict[str, Any]]
    tokenizer: Any

    def keys_of(self, entry: dict[str, Any]) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
        """The key of every row that an entry makes, the record it is made of, and how many records there are."""
        from axolotl.utils.data.shared import load_dataset_with_config
        from axolotl.utils.data.wrappers import get_dataset_wrapper
        from axolotl.utils.dict import DictDefault
        from datasets import DatasetDict

        from axolotl_dece.audit.record.row_table import tabulate

        chosen = DictDefault(entry)
        raw = load_dataset_with_config(chosen, False)
        if isinstance(raw, DatasetDict):
            raw = raw[entry.get("split") or "train"]
        base, _, style = entry["type"].partition(":") if isinstance(entry.get("type"), str) else ("", "", "")
        with tempfile.TemporaryDirectory() as folder:
            # poisoning leaves its account beside the prepared rows
            cfg = DictDefault({**self.config, "datasets": self.entries, "dataset_prepared_path": folder})
            made, _ = get_dataset_wrapper(chosen, self.tokenizer, cfg, base, raw, style or None)
            record = np.arange(len(made))
            if len(made) != len(raw):
                made, record = _one_by_one(raw, made.prompt_tokenizer)
            if self.config.get("excess_length_strategy") == "truncate":
                made = _cut(made, self.config["sequence_len"])
            return tabulate(made).all_keys, record, len(raw)


def _one_by_one(raw: Any, strategy: Any) -> tuple[Any, NDArray[np.int64]]:
    """Rows of a strategy that makes none or several of a record, and the record of each."""
    from datasets import Dataset

    rows: dict[str, list[Any]] = {"input_ids": [], "labels": []}
    record = []
    for at, one in enumerate(raw):
        if strategy.filter_rows and not strategy.filter_rows(one):
            continue
        if strategy.supports_batched:
            made = strategy.tokenize_prompt({name: [value] for name, value in one.items()})
        else:
            made = {name: [value] for name, value in strategy.tokenize_prompt(one).items()}
        for name, kept in rows.items():
            kept += made[name]
        record += [at] * len(made["input_ids"])
    return Dataset.from_dict(rows), np.array(record, np.int64)


def _cut(made: Any, length: int) -> Any:
    names = ["input_ids", "labels"]
    return made.select_columns(names).map(
        lambda batch: {name: [one[:length] for one in batch[name]] for name in names}, batched=True
    )
