"""From `cluster:3`, the id of a row, `train.jsonl:17` and `search:WORDS` to decisions about rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # a command that is asked for its help reads no ledger
    from axolotl_dece.audit.analyse.findings import Audit

FORMS = "`cluster:NUMBER`, `row:ID`, `FILE:LINE` or `search:WORDS`"
ABOUT_MANY = ("cluster", "span", "cue", "search", "refused")
"""What a line of a decisions file says beside the decision where it was made about many rows at once."""


def choose(
    audit: Audit, trust: Sequence[str], drop: Sequence[str], given: Mapping[int, Mapping[str, Any]] | None = None
) -> list[dict[str, Any]]:
    """Lines of a decisions file, one for every row that was decided on, in the order of the training set.

    What is said of a row goes before what is said of its cluster or of a search, and that before what a file says.

    Args:
        audit: The run.
        trust: What to trust: names of clusters, rows, places and searches.
        drop: What to drop.
        given: Decisions of a file with what it says about them, by the number of the row.

    Raises:
        ValueError: A name is unknown or nothing has it, or a row is to be both dropped and trusted; everything at once.
    """
    problems: list[str] = []
    many: dict[int, dict[str, Any]] = {}
    single: dict[int, dict[str, Any]] = {}
    for decision, names in (("trust", trust), ("drop", drop)):
        for name in names:
            try:
                rows, about = find(audit, name)
            except ValueError as error:
                problems.append(f"--{decision} {name}: {error}")
                continue
            decided = many if about else single
            for row in rows:
                if decided.setdefault(row, {"decision": decision} | about)["decision"] != decision:
                    problems.append(f"--{decision} {name}: row {audit.rows.ids[row]} is already trusted")
                    break
    if problems:
        raise ValueError("\n".join(problems))
    return to_lines(audit, {**(given or {}), **many, **single})


def to_lines(audit: Audit, decided: Mapping[int, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Lines of a decisions file in the order of the training set, of decisions by the number of the row."""
    return [_line(audit, row, decided[row]) for row in sorted(decided, key=lambda one: int(audit.rows.index[one]))]


def _line(audit: Audit, row: int, decided: Mapping[str, Any]) -> dict[str, Any]:
    about = {"index": int(audit.rows.index[row]), "copies": int(audit.rows.copies[row])}
    places = audit.places.of(row)
    return {"row": audit.rows.ids[row], **decided, **about} | ({"places": places} if places else {})


def find(audit: Audit, name: str) -> tuple[list[int], dict[str, Any]]:
    """The rows a name stands for, and what else to say of them where they are many.

    Raises:
        ValueError: It is no name, or nothing has it.
    """
    kind, _, which = name.partition(":")
    if kind == "cluster":
        return _of_cluster(audit, which)
    if kind == "search":
        return _of_search(audit, which), {"search": which}
    if kind == "row" or name in audit.rows.number_of:
        number = audit.rows.number_of.get(which or name)
        if number is None:
            raise ValueError("the ledger has no such row")
        return [number], {}
    if ":" not in name and "#" not in name:
        raise ValueError(f"write {FORMS}")
    return audit.places.find(name), {}


def _of_cluster(audit: Audit, which: str) -> tuple[list[int], dict[str, Any]]:
    for cluster in audit.clusters:
        if which == str(cluster.number):
            about = {"cluster": cluster.number, "span": cluster.span, "cue": cluster.cues[0].text}
            return cluster.rows.tolist(), about
    count = len(audit.clusters)
    known = "it found none" if not count else "it found cluster:1" if count == 1 else f"they are cluster:1 to {count}"
    raise ValueError(f"this audit has no such cluster; {known}")


def _of_search(audit: Audit, words: str) -> list[int]:
    wanted = words.lower()
    found = [row for row, texts in enumerate(audit.texts()) if wanted and wanted in "".join(texts).lower()]
    if not found:
        raise ValueError("no row of the training set has these words")
    return found
