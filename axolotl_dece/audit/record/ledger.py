"""What was withheld, per row and per target token, over the run: arrays that neither grow nor wait.

A *visit* is a pass of a row through training; copies of a row, and a second time in the same epoch, do not count as
another one. The *withheld share* of a target token is 1 - sigma / sigma of a token the model is sure of: 0 where the
target pulls as it would on a learned token, 1 where it pulls nothing. It is stored as one byte. At a visit a token is
*held back* when its share is more than a half while the rest of its row was learned, that is, while it is so at
fewer than half of the row's target tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

HALF = 128
"""Byte from which on a share is more than a half."""

_NEVER = -1
ROW_ARRAYS = {
    "visits": np.int32, "learned": np.int32, "withheld": np.float32,
    "first_epoch": np.int32, "previous_epoch": np.int32, "last_epoch": np.int32,
}  # fmt: skip
TOKEN_ARRAYS = ("first", "previous", "last", "held")


@dataclass
class Ledger:
    """R rows with N target tokens together; token arrays are rows one after the other.

    Attributes:
        keys: Key of every row, int64 [R].
        start: Where the tokens of a row begin, int64 [R + 1].
        visits: How often a row passed through training, int32 [R].
        learned: At how many visits most of the row was learned, int32 [R].
        withheld: Sum over visits of the row's mean withheld share, float32 [R].
        first_epoch, previous_epoch, last_epoch: When the visits below were, int32 [R], -1 before there was one.
        first, previous, last: Withheld share at the first and the last two visits, uint8 [N].
        held: At how many visits the token was held back while its row was learned, uint8 [N], 255 and more as 255.
    """

    keys: NDArray[np.int64]
    start: NDArray[np.int64]
    visits: NDArray[np.int32]
    learned: NDArray[np.int32]
    withheld: NDArray[np.float32]
    first_epoch: NDArray[np.int32]
    previous_epoch: NDArray[np.int32]
    last_epoch: NDArray[np.int32]
    first: NDArray[np.uint8]
    previous: NDArray[np.uint8]
    last: NDArray[np.uint8]
    held: NDArray[np.uint8]

    @classmethod
    def empty(cls, keys: NDArray[np.int64], targets: NDArray[np.int64]) -> Ledger:
        """A ledger of rows nothing is known of yet.

        Args:
            keys: Key of every row, all different.
            targets: Number of target tokens of every row.
        """
        arrays: dict[str, Any] = {name: np.zeros(int(targets.sum()), np.uint8) for name in TOKEN_ARRAYS}
        for name, kind in ROW_ARRAYS.items():
            arrays[name] = np.full(len(keys), _NEVER if name.endswith("_epoch") else 0, kind)
        return cls(keys, np.concatenate([[0], np.cumsum(targets)]).astype(np.int64), **arrays)

    def __post_init__(self) -> None:
        self._order = np.argsort(self.keys, kind="stable")

    def rows_of(self, keys: NDArray[np.int64]) -> NDArray[np.int64]:
        """Number of the row with each key, -1 where the ledger has none."""
        places = np.searchsorted(self.keys, keys, sorter=self._order)
        rows = self._order[np.minimum(places, len(self.keys) - 1)]
        return np.where(self.keys[rows] == keys, rows, -1)

    def fold(self, keys: NDArray[np.int64], shares: NDArray[np.uint8], epoch: int) -> None:
        """Enter what one or more micro-batches withheld.

        Args:
            keys: For every target token the key of its row, [n]; the tokens of a row are neighbours, in order.
            shares: Their withheld share, as bytes [n].
            epoch: The pass over the data in which it happened, from 0.

        Raises:
            ValueError: A row is not of this training set, or only part of it arrived.
        """
        if not len(keys):
            return
        begins = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
        rows = self.rows_of(keys[begins])
        runs = np.diff(np.append(begins, len(keys)))
        sizes = np.diff(self.start)
        # equal rows may be packed side by side, as one run
        if (rows < 0).any() or not sizes[rows].all() or (runs % sizes[rows]).any():
            raise ValueError(
                "`dece_audit`: a batch holds a row that is not in the training set, or a part of one; something "
                "between the dataset and the model rewrites or cuts rows, and the ledger would be wrong"
            )
        copies = runs // sizes[rows]
        rows = np.repeat(rows, copies)
        begins = np.concatenate([[0], np.cumsum(sizes[rows])])[:-1]
        # of a row that occurs twice the later one counts
        _, latest = np.unique(rows[::-1], return_index=True)
        latest = len(rows) - 1 - latest
        self._enter(rows[latest], ranges(begins[latest], sizes[rows[latest]]), shares, epoch)

    def _enter(self, rows: NDArray[np.int64], at: NDArray[np.int64], shares: NDArray[np.uint8], epoch: int) -> None:
        """One visit of each of `rows`, all different, whose tokens are `shares[at]`."""
        sizes = np.diff(self.start)[rows]
        tokens = ranges(self.start[rows], sizes)
        new = self.last_epoch[rows] != epoch
        new_tokens = np.repeat(new, sizes)
        shares = shares[at]
        begins = np.concatenate([[0], np.cumsum(sizes)])[:-1]
        is_high = shares >= HALF
        is_learned = 2 * np.add.reduceat(is_high, begins, dtype=np.int64) < sizes
        held = is_high & np.repeat(is_learned, sizes) & new_tokens & (self.held[tokens] < 255)
        self.held[tokens] += held.astype(np.uint8)
        self.learned[rows] += is_learned & new
        self.withheld[rows] += new * np.add.reduceat(shares, begins, dtype=np.float32) / (255 * sizes)
        self.visits[rows] += new
        is_first = self.first_epoch[rows] == _NEVER
        first_tokens = tokens[np.repeat(is_first, sizes)]
        self.first[first_tokens] = shares[np.repeat(is_first, sizes)]
        self.first_epoch[rows[is_first]] = epoch
        self.previous[tokens[new_tokens]] = self.last[tokens[new_tokens]]
        self.previous_epoch[rows[new]] = self.last_epoch[rows[new]]
        self.last[tokens] = shares
        self.last_epoch[rows] = epoch

    def add(self, other: Ledger) -> None:
        """Merge what another rank entered for the same rows: sums are added, visits are put in order of epochs."""
        if not np.array_equal(self.keys, other.keys) or not np.array_equal(self.start, other.start):
            raise ValueError("ledgers of different training sets cannot be merged")
        sizes = np.diff(self.start)
        self.held = np.minimum(self.held.astype(np.int32) + other.held, 255).astype(np.uint8)
        for name in ("visits", "learned", "withheld"):
            getattr(self, name).__iadd__(getattr(other, name))
        unset = self.first_epoch == _NEVER
        earlier = (other.first_epoch != _NEVER) & (unset | (other.first_epoch < self.first_epoch))
        self.first = np.where(np.repeat(earlier, sizes), other.first, self.first)
        self.first_epoch = np.where(earlier, other.first_epoch, self.first_epoch)
        # a sampler that fills up its last batch shows a row to two ranks in one epoch: that is one visit
        mine = (self.previous_epoch, self.last_epoch)
        theirs = [
            np.where(np.isin(e, _NEVER) | (e == mine[0]) | (e == mine[1]), _NEVER, e)
            for e in (other.previous_epoch, other.last_epoch)
        ]
        epochs = np.stack([*mine, *theirs])
        shares = (self.previous, self.last, other.previous, other.last)
        order = np.argsort(epochs, axis=0, kind="stable")
        for name, rank in (("previous", 2), ("last", 3)):
            chosen = order[rank]
            setattr(self, name, np.choose(np.repeat(chosen, sizes), shares))
            setattr(self, f"{name}_epoch", np.take_along_axis(epochs, chosen[None], axis=0)[0])


def ranges(begins: NDArray[Any], sizes: NDArray[Any]) -> NDArray[np.int64]:
    """begins[0], begins[0] + 1, ... for sizes[0] numbers, then from begins[1], and so on."""
    ends = np.cumsum(sizes, dtype=np.int64)
    found: NDArray[np.int64] = np.repeat(begins - (ends - sizes), sizes)
    found += np.arange(len(found))
    return found
