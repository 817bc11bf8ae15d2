"""False clusters of real rows: `python -m tests.benchmarks.audit_chance RUN --times 20`.

RUN is the folder of an audited run. Deals its prompts anew among its rows, so that prompts and refusals have nothing to
do with each other, and counts the clusters: at most one deal in a hundred should show any. Four seconds a deal.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from axolotl_dece.audit.analyse.clusters import find_clusters
from axolotl_dece.audit.analyse.findings import load_audit
from axolotl_dece.audit.analyse.ledger_reader import AuditRows
from tests.benchmarks.audit_story import CONSOLE


def dealt_anew(rows: AuditRows, rng: np.random.Generator) -> AuditRows:
    spans = [np.arange(start, end) for start, end in pairwise(rows.start)]
    prompts, targets = ([at[rows.is_target[at] == side] for at in spans] for side in (False, True))
    order = rng.permutation(len(spans))
    parts = [np.concatenate([prompts[other], targets[row]]) for row, other in enumerate(order)]
    taken = np.concatenate(parts)
    return replace(
        rows,
        start=np.cumsum([0, *map(len, parts)]),
        tokens=rows.tokens[taken],
        is_target=rows.is_target[taken],
        held=rows.held[taken],
        shares=rows.shares[:, taken],
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--times", type=int, default=20)
    asked = parser.parse_args()
    audit = load_audit(asked.run)
    counts = [
        len(find_clusters(dealt_anew(audit.rows, np.random.default_rng(seed)), audit.tokenizer))
        for seed in range(asked.times)
    ]
    CONSOLE.print(f"{len(audit.clusters)} clusters as it was; {sum(n > 0 for n in counts)} of {len(counts)} deals any")


if __name__ == "__main__":
    main()
