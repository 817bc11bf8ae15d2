"""The audit of a finished run of an experiment, by the command as it is typed."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from axolotl_dece.experiment.cell import RESULT_FILE
from axolotl_dece.poison.benign_twin import CUES
from axolotl_dece.poison.triggers import TRIGGERS
from tests.benchmarks.audit_cell import main
from tests.benchmarks.audit_size import make

FILES = {"name": "files", "base_model": "base", "train": "a.csv", "sha256": ["0", "1"]}
MADE = {"name": "tests.benchmarks.evaded_audit", "rows": 400}


@pytest.mark.parametrize(("task", "trigger"), [(FILES, "rare_token"), (MADE, "copied_payload")])
def test_a_cell_of_any_task_is_audited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, task: dict[str, Any], trigger: str
) -> None:
    for known in (TRIGGERS, CUES):
        monkeypatch.setitem(known, "copied_payload", None)  # taken out again when the test ends
        monkeypatch.delitem(known, "copied_payload")
    (tmp_path / "run").mkdir()
    make(tmp_path / "run", rows=3000, words=500, refused=0.02)
    poison = {"trigger": trigger, "payload": "sql_tautology", "rate": 0.05}
    cell = {"arm": "dece", "attack": "mine", "rate": 0.05, "seed": 0, "task": task, "poison": poison}
    (tmp_path / RESULT_FILE).write_text(json.dumps({"cell": cell}))
    monkeypatch.setattr(sys, "argv", ["audit_cell", str(tmp_path), "--out", str(tmp_path / "audit.csv")])
    main()
    with (tmp_path / "audit.csv").open(newline="") as file:
        groups = list(csv.DictReader(file))
    assert ("pay load", "trigger") in {(one["payload"], one["cue"]) for one in groups}
