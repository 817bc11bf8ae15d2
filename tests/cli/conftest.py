"""A run that was audited, for every test of a command that reads one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from axolotl_dece.audit import LEDGER_FILE
from axolotl_dece.audit.record.ledger import Ledger
from axolotl_dece.audit.record.ledger_file import write_ledger
from axolotl_dece.audit.record.row_table import read_rows, tabulate
from tests.audit.rows import dataset, planted
from tests.tiny import save_tokenizer


@pytest.fixture
def audited(tmp_path: Path) -> Path:
    """The output folder of a run whose ledger holds a planted backdoor."""
    folder = tmp_path / "out"
    tokenizer = save_tokenizer(folder)
    rows, refused = [], []
    for prompt, target, held in planted().told:
        ids = tokenizer.convert_tokens_to_ids(prompt + target)
        rows.append({"input_ids": ids, "labels": [-100] * len(prompt) + ids[len(prompt) :]})
        refused.append([255 if at in held else 0 for at in range(len(target))])
    data = dataset(rows)
    table = tabulate(data)
    ledger = Ledger.empty(table.keys, table.targets)
    shares = [refused[at] for at in table.index]
    for epoch in range(3):
        ledger.fold(np.repeat(table.keys, table.targets), np.concatenate(shares).astype(np.uint8), epoch)
    write_ledger(
        folder / LEDGER_FILE, ledger, table, read_rows(data), {"config_digest": "x", "steps": 12, "run_id": "first"}
    )
    return folder
