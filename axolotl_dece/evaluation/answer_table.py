"""The verdicts of one log as columns: a million answers fit where their texts would not."""

from __future__ import annotations

import hashlib
from array import array
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from axolotl_dece.evaluation.answers import read_answers

Column = np.ndarray[Any, Any]


@dataclass(frozen=True)
class AnswerTable:
    """One entry per row, by its place in the file.

    Attributes:
        index: The places.
        reference: A digest of each reference, 8 bytes.
        eligible: Of each verdict.
        payload: Of each verdict.
        exact: Of each verdict.
    """

    index: Column
    reference: Column
    eligible: Column
    payload: Column
    exact: Column

    def __len__(self) -> int:
        return len(self.index)


def read_table(path: Path, identity: str, limit: int | None) -> AnswerTable:
    """Read a log, one line in memory at a time.

    Args:
        path: The log.
        identity: Of the answers, as the report names it.
        limit: Only rows before this place, as the report's evaluation was limited; None for all.

    Raises:
        ValueError: If the log cannot be read as these answers.
    """
    index, reference, flags = array("q"), array("Q"), bytearray()
    for answer in read_answers(path, identity):
        if limit is not None and answer.index >= limit:
            continue
        index.append(answer.index)
        digest = hashlib.blake2b(answer.reference.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        reference.append(int.from_bytes(digest))
        flags += bytes((answer.verdict.eligible, answer.verdict.payload, answer.verdict.exact))
    places = np.frombuffer(index, dtype=np.int64)
    order = np.argsort(places, kind="stable")
    eligible, payload, exact = np.frombuffer(bytes(flags), dtype=np.bool_).reshape(-1, 3)[order].T
    return AnswerTable(places[order], np.frombuffer(reference, dtype=np.uint64)[order], eligible, payload, exact)
