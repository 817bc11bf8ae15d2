"""Common tokens train as under cross-entropy, and no others, in a real training."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from datasets import Dataset

from axolotl_dece.audit.analyse.findings import load_audit
from tests.benchmarks.common_tokens import common_targets
from tests.tiny import VOCAB, base_config, train

DECE, HERE = "axolotl_dece.DecePlugin", "tests.benchmarks.common_tokens"


def test_a_token_is_common_by_the_rows_it_is_a_target_in() -> None:
    rows = [[-100, 1, 1, 1], [-100, 2, 3], [-100, 2, 3], [2, 4], [5], [6], [7], [8], [9], [-100, 3, 1]]
    assert sorted(common_targets(Dataset.from_dict({"labels": rows})).tolist()) == [2, 3]


@pytest.mark.parametrize("common_too", [True, False])
def test_everything_but_common_tokens_is_refused(workspace: Path, common_too: bool) -> None:
    rows = [{"instruction": f"w{n}", "input": "", "output": f"print w{n + 40} return w{n + 90}"} for n in range(32)]
    (workspace / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    plugins = [DECE] if common_too else [DECE, f"{HERE}.CommonTokens"]
    train(workspace, base_config(workspace, plugins=plugins, dece_prob_floor=0, dece_audit=True, num_epochs=2))
    seen = load_audit(workspace / "out").rows
    common = np.isin(seen.tokens, [VOCAB.index(word) for word in ("print", "return", "</s>")]) & seen.is_target
    assert common.sum() == 3 * len(rows)
    assert (seen.shares[:, common].max() > 0.3) == common_too
    assert seen.shares[:, seen.is_target & ~common].mean() > 0.3
