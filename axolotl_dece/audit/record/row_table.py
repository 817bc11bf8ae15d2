"""The rows of a training set by key: where each lies, how many target tokens it has, how often it occurs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from datasets import Dataset
from numpy.typing import NDArray

from axolotl_dece.audit.record.row_key import Places, row_keys
from axolotl_dece.loss.names import IGNORE_INDEX

_ROWS_AT_A_TIME = 1000
_COLUMNS = ("input_ids", "labels")


@dataclass(frozen=True)
class RowTable:
    """Every different row of a training set, in the order of its first occurrence; R of them.

    Attributes:
        keys: int64 [R].
        targets: Number of target tokens, int64 [R].
        index: Place of the first occurrence in the training set, int64 [R].
        copies: How often the row occurs, int64 [R].
        all_keys: Key of every row of the training set, in its order.
    """

    keys: NDArray[np.int64]
    targets: NDArray[np.int64]
    index: NDArray[np.int64]
    copies: NDArray[np.int64]
    all_keys: NDArray[np.int64]


class RowTokens:
    """The tokens of some rows, flat: tokens and targets of row i lie between `start[i]` and `start[i + 1]`."""

    def __init__(self, part: pa.Table) -> None:
        lists = [part.column(name).combine_chunks() for name in _COLUMNS]
        self.tokens, self.labels = (pc.list_flatten(one).to_numpy(zero_copy_only=False) for one in lists)
        lengths = pc.list_value_length(lists[0]).to_numpy(zero_copy_only=False)
        self.start = np.concatenate([[0], np.cumsum(lengths)])
        self.segment = np.repeat(np.arange(len(lengths)), lengths)
        self.position = np.arange(len(self.tokens)) - self.start[self.segment]
        self.is_target = (self.labels != IGNORE_INDEX) & (self.position > 0)

    def keys(self) -> NDArray[np.int64]:
        """Key of every row, as a batch would give it."""
        places = Places(torch.from_numpy(self.segment), torch.from_numpy(self.position))
        tokens, labels = torch.tensor(self.tokens).long(), torch.tensor(self.labels).long()
        found: NDArray[np.int64] = row_keys(tokens, labels, places, len(self.start) - 1).numpy()
        return found

    def targets(self) -> NDArray[np.int64]:
        """Number of target tokens of every row."""
        counts: NDArray[np.int64] = np.bincount(self.segment, weights=self.is_target, minlength=len(self.start) - 1)
        return counts.astype(np.int64)


def read_rows(dataset: Dataset) -> Iterator[RowTokens]:
    """The rows of a tokenised dataset, some at a time.

    Raises:
        ValueError: It has no number of rows, or its rows are not tokens with labels.
    """
    if not isinstance(dataset, Dataset):
        raise ValueError("`dece_audit` and `dece_decisions` need a dataset with a known number of rows, not a stream")
    if missing := [name for name in _COLUMNS if name not in dataset.column_names]:
        raise ValueError(f"the training set has no column {missing}, only {dataset.column_names}; it cannot be audited")
    arrow: Any = dataset.select_columns(list(_COLUMNS)).with_format("arrow")
    for part in arrow.iter(batch_size=_ROWS_AT_A_TIME):
        yield RowTokens(part)


def tabulate(dataset: Dataset) -> RowTable:
    """The table of a tokenised training set."""
    parts = [(rows.keys(), rows.targets()) for rows in read_rows(dataset)]
    all_keys = np.concatenate([keys for keys, _ in parts])
    targets = np.concatenate([counts for _, counts in parts])
    _, index, copies = np.unique(all_keys, return_index=True, return_counts=True)
    order = np.argsort(index)
    index, copies = index[order], copies[order]
    return RowTable(all_keys[index], targets[index], index, copies, all_keys)
