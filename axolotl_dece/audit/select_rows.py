"""From `cluster:3` and `row:0123456789abcdef` to decisions about rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from axolotl_dece.audit.analyse.findings import Audit


def choose(audit: Audit, trust: Sequence[str], drop: Sequence[str]) -> list[dict[str, Any]]:
    """Lines of a decisions file, one for every row that was decided on, in the order of the training set.

    What is said of a row goes before what is said of its cluster.

    Args:
        audit: The run.
        trust: Names of clusters and rows to trust.
        drop: Names of clusters and rows to drop.

    Raises:
        ValueError: A name is unknown, or a row is to be both dropped and trusted; everything at once.
    """
    number_of = {row_id: at for at, row_id in enumerate(audit.rows.ids)}
    problems: list[str] = []
    decided: dict[str, dict[int, dict[str, Any]]] = {"cluster": {}, "row": {}}
    for decision, names in (("trust", trust), ("drop", drop)):
        for name in names:
            kind, _, which = name.partition(":")
            try:
                lines = _of_cluster(audit, which) if kind == "cluster" else _of_row(kind, which, number_of)
            except ValueError as error:
                problems.append(f"--{decision} {name}: {error}")
                continue
            for row, about in lines.items():
                line = {"row": audit.rows.ids[row], "decision": decision, "index": int(audit.rows.index[row])} | about
                if decided[kind].setdefault(row, line)["decision"] != decision:
                    problems.append(f"--{decision} {name}: row {audit.rows.ids[row]} is already trusted")
                    break
    if problems:
        raise ValueError("\n".join(problems))
    chosen = decided["cluster"] | decided["row"]
    return [chosen[row] for row in sorted(chosen, key=lambda one: int(audit.rows.index[one]))]


def _of_cluster(audit: Audit, which: str) -> dict[int, dict[str, Any]]:
    for cluster in audit.clusters:
        if which == str(cluster.number):
            about = {"cluster": cluster.number, "span": cluster.span, "cue": cluster.cues[0].text}
            return dict.fromkeys(cluster.rows.tolist(), about)
    count = len(audit.clusters)
    known = "it found none" if not count else "it found cluster:1" if count == 1 else f"they are cluster:1 to {count}"
    raise ValueError(f"this audit has no such cluster; {known}")


def _of_row(kind: str, which: str, number_of: dict[str, int]) -> dict[int, dict[str, Any]]:
    if kind != "row":
        raise ValueError("write `cluster:NUMBER` or `row:ID`")
    if which not in number_of:
        raise ValueError("the ledger has no such row")
    return {number_of[which]: {}}
