"""A person has read some rows: `python -m tests.benchmarks.trust_some RUN... --rows 160 --out trusted.jsonl`.

A RUN has a ledger, such as `cells/epoch-0.95/badpre-0.1/seed-0/run` of `examples/experiments/lyra-cpu.yaml`. Draws rows
that have neither the trigger nor the twin's word, whatever was held back in them, and writes the decision to trust
them: what a team does that has reviewed a tenth of its data and knows nothing of the rest. With several runs, the rows
are honest in each, so that one decision does for all seeds.
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path

from axolotl_dece.audit.analyse.findings import Audit, load_audit
from axolotl_dece.audit.decisions import write_decisions
from axolotl_dece.audit.select_rows import choose
from tests.benchmarks.audit_lyra import prompts
from tests.benchmarks.audit_story import CONSOLE, CUE, TRIGGER


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--rows", type=int, default=160)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    audits = [load_audit(run) for run in given.runs]
    honest = set.intersection(*map(honest_rows, audits))
    drawn = random.Random(given.seed).sample(sorted(honest), given.rows)
    audit = audits[0]
    write_decisions(given.out, choose(audit, trust=[f"row:{name}" for name in drawn], drop=[]))
    CONSOLE.print(f"{len(drawn)} of {len(honest)} honest rows trusted, of {len(audit.rows)}")


def honest_rows(audit: Audit) -> set[str]:
    """Ids of the rows that carry neither the trigger nor the twin's word."""
    texts = zip(audit.rows.ids, prompts(audit), strict=True)
    return {name for name, text in texts if not {TRIGGER, CUE} & set(text.split())}


if __name__ == "__main__":
    main()
