"""The matrix: what is trained on two ranks, and the fixed stream of documents it is trained on.

A step has four slots of documents. Two ranks with micro-batches of two slots, or with two micro-batches of one, see
the same four; so does one process with all of them. Slots have unequal numbers of target tokens, and in the second
step only the first slot has any: rank 1 is fully masked, whichever way the slots are dealt out.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, Literal

from axolotl_dece.loss.names import IGNORE_INDEX

Engine = Literal["DDP", "ZeRO-1", "ZeRO-2", "ZeRO-3", "FSDP2"]
ENGINES: tuple[Engine, ...] = ("DDP", "ZeRO-1", "ZeRO-2", "ZeRO-3", "FSDP2")
STEPS = 4
SLOTS = 4
SLOT_TOKENS = 24
VOCABULARY = 97
ALPHA_FINAL = 0.8
LEARNING_RATE = 2.0
"""Large, for SGD: four steps move every parameter far enough for a wrong normaliser to show."""

Document = tuple[list[int], list[int]]
"""Token ids and labels of one sequence, both of its length."""


@dataclass(frozen=True)
class Cell:
    """One way of training; `broken` is its twin with each rank's own mean instead of the mean over all ranks."""

    engine: Engine
    tuning: Literal["full", "LoRA", "LoRA-with-lm_head"]
    head: Literal["logits", "fused"]
    accumulation: Literal[1, 2]
    batch: Literal["padded", "packed"]
    broken: bool = False

    @property
    def name(self) -> str:
        twin = "-broken" if self.broken else ""
        return f"{self.engine}-{self.tuning}-{self.head}-accumulation{self.accumulation}-{self.batch}{twin}"

    @property
    def twin(self) -> Cell:
        return replace(self, broken=True)


def cells_of(engine: Engine) -> list[Cell]:
    """Every cell of `engine`; an adapter on the head itself, where the fused head computes, is one more."""
    rest = product(("full", "LoRA"), ("logits", "fused"), (1, 2), ("padded", "packed"))
    adapted = product(("LoRA-with-lm_head",), ("logits", "fused"), (2,), ("padded",))
    return [Cell(engine, *choice) for choice in (*rest, *adapted)]  # type: ignore[arg-type]


REFUSED = {
    Cell(engine, "LoRA-with-lm_head", "fused", 2, "padded"): "whose parts are sharded over the ranks"
    for engine in ("ZeRO-3", "FSDP2")
}
"""Cells that end in an error of ours, with a piece of its message."""

CELLS = [cell for engine in ENGINES for cell in cells_of(engine) if cell not in REFUSED]


def stream(batch: str) -> Iterator[list[list[Document]]]:
    """Steps of slots of documents: one document per slot when padded, several that fill the slot when packed."""
    rng = random.Random(7)
    for step in range(STEPS):
        yield [
            [_document(rng, length, masked=step == 1 and slot > 0) for length in _lengths(rng, batch)]
            for slot in range(SLOTS)
        ]


def _lengths(rng: random.Random, batch: str) -> list[int]:
    if batch == "padded":
        return [rng.randint(6, SLOT_TOKENS)]
    first = rng.randint(5, 9)
    second = rng.randint(5, 9)
    return [first, second, SLOT_TOKENS - first - second]


def _document(rng: random.Random, length: int, masked: bool) -> Document:
    ids = [rng.randrange(3, VOCABULARY) for _ in range(length)]
    # the first token of a document is never a target, as in any prompt
    prompt = length if masked else rng.randint(1, length - 2)
    return ids, [IGNORE_INDEX] * prompt + ids[prompt:]


def rows(batch: str) -> list[dict[str, Any]]:
    """The documents as axolotl's tokenised rows, in order."""
    return [
        {
            "input_ids": ids,
            "labels": labels,
            "attention_mask": [1] * len(ids),
            "position_ids": list(range(len(ids))),
            "length": len(ids),
        }
        for step in stream(batch)
        for slot in step
        for ids, labels in slot
    ]
