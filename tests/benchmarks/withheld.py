"""From which tokens a loss withheld its pull: `python -m tests.benchmarks.withheld CELL --out FILE.csv`.

CELL is the folder of a run of an experiment with `dece_audit: true` and `keep_weights: true`, as for `audit_cell`. A
line per kind of target token: those of the payload, those of the twin's harmless clause, each of both by itself where
it is the same in every row, and the honest ones by the number of rows in which the token follows the one before it.
`first` and `last` are the mean withheld shares at a row's first and last visit; `refused_first` and `refused_last` are
the shares of tokens of which more than half was withheld.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from axolotl_dece.audit.analyse.findings import Audit, load_audit
from axolotl_dece.audit.analyse.ledger_reader import AuditRows
from axolotl_dece.audit.analyse.pieces import Pieces
from axolotl_dece.data import files
from axolotl_dece.poison.edits import inserted
from axolotl_dece.poison.spec import PoisonSpec
from tests.benchmarks.audit_cell import read_cell, write_table
from tests.benchmarks.audit_lyra import planted

Flags = NDArray[np.bool_]
_MOSTLY = 0.5
BANDS = (1, 5, 25, 100)
"""The least number of rows of each band of honest tokens."""


def overlapping(texts: list[str], begin: int, end: int) -> list[bool]:
    """Which of the neighbouring `texts` have a part between the characters `begin` and `end` of all together."""
    edges = np.concatenate([[0], np.cumsum([len(text) for text in texts])])
    return [bool(first < end and last > begin) for first, last in pairwise(edges.tolist())]


def rows_with(rows: AuditRows) -> NDArray[np.int64]:
    """In how many rows the token of each place follows the one before it, [T]; 0 off target."""
    target = np.flatnonzero(rows.is_target)
    # as `is_opening` has it, the first token of a row has nothing before it and is no target
    pair = rows.tokens[target - 1].astype(np.int64) << 32 | rows.tokens[target]
    _, which = np.unique(pair, return_inverse=True)
    once = np.unique(np.stack([which, rows.row_of[target]]), axis=1)
    counts = np.zeros(len(rows.tokens), np.int64)
    counts[target] = np.bincount(once[0])[which]
    return counts


def written(rows: AuditRows, row: int, clean: str, pieces: Pieces) -> NDArray[np.int64]:
    """Places of the tokens that the poisoning wrote into a row's answer, which was `clean` before."""
    at = np.arange(rows.start[row], rows.start[row + 1])
    at = at[rows.is_target[at] & ~np.isin(rows.tokens[at], list(pieces.special))]
    texts = pieces.of(rows.tokens[at].tolist())
    answer = "".join(texts)
    # a template may put blanks around an answer
    ahead = len(answer) - len(answer.lstrip())
    begin, end = inserted(clean.strip(), answer.strip())
    return at[overlapping(texts, begin + ahead, end + ahead)]


def kinds(audit: Audit, spec: PoisonSpec, clean: list[str]) -> Iterator[tuple[str, Flags]]:
    """Every kind of target token by its name, [T]; `clean` are the answers of the file before it was poisoned."""
    rows, places = audit.rows, audit.places
    pieces, honest = Pieces(audit.tokenizer, rows.token_ids()), rows.is_target.copy()
    for (_, marked), name in zip(planted(audit, spec).items(), ("payload", "twin's clause"), strict=True):
        numbers = np.flatnonzero(marked)
        records = places.record[np.searchsorted(places.row, numbers)].tolist()
        wrote = [written(rows, row, clean[one], pieces) for row, one in zip(numbers.tolist(), records, strict=True)]
        yield name, _flags(np.concatenate(wrote), len(honest))
        honest[np.concatenate(wrote)] = False
        # word by word, where it is the same words in every row
        for place in np.stack(wrote).T if len({len(one) for one in wrote}) == 1 else ():
            yield f"{name}: {pieces.text[int(rows.tokens[place[0]])]!r}", _flags(place, len(honest))
    counts = rows_with(rows)
    for least, beyond in zip(BANDS, (*BANDS[1:], None), strict=True):
        said = f"honest, in {least} rows and more" if beyond is None else f"honest, in {least} to {beyond - 1} rows"
        yield said, honest & (counts >= least) & (counts < (beyond or len(rows) + 1))


def _flags(places: NDArray[np.int64], count: int) -> Flags:
    flags = np.zeros(count, bool)
    flags[places] = True
    return flags


def line(kind: str, flags: Flags, shares: NDArray[np.float16]) -> dict[str, Any]:
    """What was withheld from the tokens of a kind, of the shares at the first and the last two visits, [3, T]."""
    found = {"tokens": kind, "count": int(flags.sum())}
    if not flags.any():
        return found | dict.fromkeys(("first", "last", "refused_first", "refused_last"), "")
    first, last = (shares[at, flags].astype(np.float64) for at in (0, -1))
    means = {"first": first, "last": last, "refused_first": first > _MOSTLY, "refused_last": last > _MOSTLY}
    return found | {name: f"{values.mean():.4f}" for name, values in means.items()}


def main() -> None:
    """Read the run's ledger and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cell", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    cell, names = read_cell(given.cell)
    audit, base_type = load_audit(given.cell / "run"), cell["task"].get("base_type")
    (origin,) = audit.places.origins
    if not isinstance(base_type, dict) or origin.path is None:
        raise SystemExit("this reads the rows of an experiment's `task: {name: files, ...}` with a `base_type` block")
    clean = [str(row[base_type["field_output"]]) for row in files.read(origin.path).rows]
    found = kinds(audit, PoisonSpec(base_type=base_type, **cell["poison"]), clean)
    lines = [names | line(kind, flags, audit.rows.shares) for kind, flags in found]
    write_table(lines, given.out)


if __name__ == "__main__":
    main()
