"""Two thousand optimiser steps with the monitor on: memory stays flat and no file stays open."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.distributed.processes import join, start
from tests.distributed.soak import soak
from tests.tiny import base_config, save_model

pytestmark = pytest.mark.slow

STEPS = 2000


def test_two_thousand_steps_keep_nothing(workspace: Path) -> None:
    shutil.rmtree(workspace / "model")
    save_model(workspace / "model", hidden_size=16, intermediate_size=16, num_hidden_layers=1)
    config = base_config(
        workspace,
        plugins=["axolotl_dece.DecePlugin", "tests.distributed.soak.Observer"],
        max_steps=STEPS,
        num_epochs=None,
        micro_batch_size=1,
        logging_steps=100,
        learning_rate=1e-4,
        dece_monitor={"every_steps": 100, "clean": str(workspace / "rows.jsonl"), "limit": 4},
    )
    log = workspace / "soak.log"
    join([start(log, soak, workspace, config)], [log], timeout=550)
    seen = json.loads((workspace / "soak.json").read_text())
    assert [look["step"] for look in seen] == list(range(250, STEPS + 1, 250))
    settled, last = seen[1], seen[-1]
    assert last["resident"] < 1.01 * settled["resident"], seen
    assert last["handles"] <= settled["handles"], seen
