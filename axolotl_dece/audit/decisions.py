"""What a person decided about rows: a file of JSON lines, read before anything expensive, carried out before training.

    {"row": "0123456789abcdef", "decision": "drop", "cluster": 1}

Dropped rows leave the training set; trusted rows train as under cross-entropy. What else stands in a line is for
readers.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from axolotl_dece.audit import ACCOUNT_FILE
from axolotl_dece.audit.row_id import id_to_key, key_to_id
from axolotl_dece.run_file import RUN_ID
from axolotl_dece.util.atomic import write_json_atomically, write_text_atomically
from axolotl_dece.util.json_text import parse_json

_KINDS = ("drop", "trust")


@dataclass(frozen=True)
class Decisions:
    """A decisions file.

    Attributes:
        path: Where it lies.
        sha256: Of its content.
        drop: Keys of rows that leave the training set.
        trust: Keys of rows that train as under cross-entropy.
        places: Where rows stand in their files, as far as the file says it, by key.
        counts: How many rows of the training set that meant, copies counted; filled in when they are dropped.
    """

    path: Path
    sha256: str
    drop: frozenset[int]
    trust: frozenset[int]
    places: dict[int, list[str]] = field(default_factory=dict, compare=False)
    counts: dict[str, int] = field(default_factory=dict, compare=False)

    def name(self, key: int) -> str:
        """A row as a person meets it: its id, and where it stands."""
        places = self.places.get(key)
        return f"{key_to_id(key)} at {', '.join(places)}" if places else key_to_id(key)


def write_decisions(path: Path, lines: Iterable[Mapping[str, Any]]) -> None:
    """Write decisions, one row a line, whole or not at all."""
    write_text_atomically(path, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))


def is_decisions(path: Path) -> bool:
    """Whether a file is one that `write_decisions` wrote, by its first line; an empty one has nothing to lose."""
    if not path.is_file():
        return False
    try:
        with path.open("rb") as file:
            first = file.readline()
        if first.strip():
            _parse(first.decode("utf-8-sig"))
    except (OSError, ValueError):
        return False
    return True


def read_decisions(path: Path) -> Decisions:
    """Read and check a decisions file.

    Raises:
        ValueError: With everything that is wrong, each with its line.
    """
    try:
        content = path.read_bytes()
        text = content.decode("utf-8-sig")  # editors of some systems put a byte-order mark before the first line
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"`dece_decisions: {path}` cannot be read: {error}") from error
    decided: dict[int, str] = {}
    places: dict[int, list[str]] = {}
    problems = []
    # not splitlines(): JSON lets the line separators of Unicode stand in a string
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            key, decision, where = _parse(line)
        except ValueError as error:
            problems.append(f"line {number}: {error}")
            continue
        if decided.setdefault(key, decision) != decision:
            problems.append(f"line {number}: row {key_to_id(key)} is dropped and trusted; decide for one")
        if where:
            places[key] = where
    if not decided and not problems:
        problems.append("it holds no decision; write one with `axolotl dece audit OUT --drop cluster:1 --write FILE`")
    if problems:
        raise ValueError(f"`dece_decisions: {path}`:\n" + "\n".join(f"  - {problem}" for problem in problems))
    kept = {kind: frozenset(key for key, one in decided.items() if one == kind) for kind in _KINDS}
    return Decisions(path, hashlib.sha256(content).hexdigest(), kept["drop"], kept["trust"], places)


def _parse(line: str) -> tuple[int, str, list[str]]:
    entry = parse_json(line)
    if not isinstance(entry, dict) or not isinstance(entry.get("row"), str):
        raise ValueError('must be an object with "row", the id of a row')
    if entry.get("decision") not in _KINDS:
        raise ValueError(f'"decision" must be "drop" or "trust", not {entry.get("decision")!r}')
    places = entry.get("places")
    return id_to_key(entry["row"]), entry["decision"], [str(one) for one in places] if isinstance(places, list) else []


def write_account(folder: Path, decisions: Decisions, run_id: str) -> None:
    """Write beside the weights what was decided and carried out by the run `run_id`."""
    account = {RUN_ID: run_id, "sha256": decisions.sha256, "rows": decisions.counts, **dict(_lists(decisions))}
    account["places"] = {key_to_id(key): places for key, places in decisions.places.items()}
    write_json_atomically(folder / ACCOUNT_FILE, account)


def _lists(decisions: Decisions) -> Iterator[tuple[str, list[str]]]:
    yield "dropped", sorted(map(key_to_id, decisions.drop))
    yield "trusted", sorted(map(key_to_id, decisions.trust))
