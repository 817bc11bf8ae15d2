"""What a person decided about rows: a file of JSON lines, read before anything expensive, carried out before training.

    {"row": "0123456789abcdef", "decision": "drop", "cluster": 1}

Dropped rows leave the training set; trusted rows train with alpha = 1. What else stands in a line is for readers.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from transformers import Trainer

from axolotl_dece.audit.identity import id_to_key, key_to_id
from axolotl_dece.audit.table import RowTable, tabulate
from axolotl_dece.manifest import write_json_atomically, write_text_atomically

ACCOUNT_FILE = "dece_decisions.json"
_KINDS = ("drop", "trust")
_MOST_SHOWN = 5


@dataclass(frozen=True)
class Decisions:
    """A decisions file.

    Attributes:
        path: Where it lies.
        sha256: Of its content.
        drop: Keys of rows that leave the training set.
        trust: Keys of rows that train with alpha = 1.
    """

    path: Path
    sha256: str
    drop: frozenset[int]
    trust: frozenset[int]


def write_decisions(path: Path, lines: Iterable[Mapping[str, Any]]) -> None:
    """Write decisions, one row a line, whole or not at all."""
    write_text_atomically(path, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))


def read_decisions(path: Path) -> Decisions:
    """Read and check a decisions file.

    Raises:
        ValueError: With everything that is wrong, each with its line.
    """
    try:
        content = path.read_bytes()
        text = content.decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"`dece_decisions: {path}` cannot be read: {error}") from error
    decided: dict[int, str] = {}
    problems = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            key, decision = _parse(line)
        except ValueError as error:
            problems.append(f"line {number}: {error}")
            continue
        if decided.setdefault(key, decision) != decision:
            problems.append(f"line {number}: row {key_to_id(key)} is dropped and trusted; decide for one")
    if not decided and not problems:
        problems.append("it holds no decision; write one with `axolotl dece audit OUT --drop cluster:1 --write FILE`")
    if problems:
        raise ValueError(f"`dece_decisions: {path}`:\n" + "\n".join(f"  - {problem}" for problem in problems))
    kept = {kind: frozenset(key for key, one in decided.items() if one == kind) for kind in _KINDS}
    return Decisions(path, hashlib.sha256(content).hexdigest(), kept["drop"], kept["trust"])


def _parse(line: str) -> tuple[int, str]:
    entry = json.loads(line)
    if not isinstance(entry, dict) or not isinstance(entry.get("row"), str):
        raise ValueError('must be an object with "row", the id of a row')
    if entry.get("decision") not in _KINDS:
        raise ValueError(f'"decision" must be "drop" or "trust", not {entry.get("decision")!r}')
    return id_to_key(entry["row"]), entry["decision"]


def drop_rows(trainer: Trainer, decisions: Decisions, *, keep_steps: bool) -> list[str]:
    """Take the dropped rows out of the trainer's training set, and shorten the run to the same number of epochs.

    Args:
        trainer: Not started yet.
        decisions: What was decided.
        keep_steps: Whether the user fixed the number of steps.

    Returns:
        A sentence for each thing done.

    Raises:
        ValueError: The file names rows the training set does not hold, or drops all of them.
    """
    table = tabulate(trainer.train_dataset)
    check_known(decisions, table)
    dropped = np.isin(table.all_keys, np.array(sorted(decisions.drop), dtype=np.int64))
    kept = np.flatnonzero(~dropped)
    if not len(kept):
        raise ValueError(f"`dece_decisions: {decisions.path}` drops every row of the training set")
    rows, steps = len(dropped), trainer.args.max_steps
    if len(kept) < rows:
        trainer.train_dataset = trainer.train_dataset.select(kept)
        if steps > 0 and not keep_steps:
            trainer.args.max_steps = math.ceil(steps * len(kept) / rows)
    return [
        f"{rows - len(kept)} of {rows} training rows dropped, as decided in {decisions.path}; they are listed in "
        f"{ACCOUNT_FILE}",
        f"{np.isin(table.all_keys, np.array(sorted(decisions.trust), dtype=np.int64)).sum()} trusted rows train with "
        "alpha = 1",
    ]


def check_known(decisions: Decisions, table: RowTable) -> None:
    """Raise ValueError when a decision is about a row that the training set does not hold."""
    decided = decisions.drop | decisions.trust
    unknown = sorted(decided - set(table.keys.tolist()))
    if unknown:
        shown = ", ".join(key_to_id(key) for key in unknown[:_MOST_SHOWN])
        raise ValueError(
            f"`dece_decisions: {decisions.path}`: {len(unknown)} of {len(decided)} rows are not in the training set "
            f"({shown}{', ...' if len(unknown) > _MOST_SHOWN else ''}). It was made for other data, or the rows, the "
            "prompt template or the tokenizer changed since. Train once with `dece_audit: true` and decide anew"
        )


def write_account(folder: Path, decisions: Decisions) -> None:
    """Write beside the weights what was decided and carried out."""
    account = {"sha256": decisions.sha256, **dict(_lists(decisions))}
    write_json_atomically(folder / ACCOUNT_FILE, account)


def _lists(decisions: Decisions) -> Iterator[tuple[str, list[str]]]:
    yield "dropped", sorted(map(key_to_id, decisions.drop))
    yield "trusted", sorted(map(key_to_id, decisions.trust))
