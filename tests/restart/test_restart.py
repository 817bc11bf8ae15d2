"""A run that is killed ten times ends where an uninterrupted one does."""

from __future__ import annotations

import hashlib
import json
import random
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.distributed.processes import join, start
from tests.restart.victim import Moment, run
from tests.tiny import base_config, save_model, save_rows

pytestmark = pytest.mark.slow

STEPS = 24


def moments(seed: int = 6) -> list[Moment]:
    """Ten random moments: one in preprocessing, five in a step, four in a save."""
    rng = random.Random(seed)
    later = [Moment("forward", rng.randint(1, 9)) for _ in range(5)]
    later += [Moment("save", rng.randint(1, 5)) for _ in range(4)]
    rng.shuffle(later)
    return [Moment("preprocess", rng.randint(1, 2)), *later]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("restart")
    save_model(root / "model")
    save_rows(root / "rows.jsonl")
    return root


def config(root: Path, out: Path, **changes: Any) -> dict[str, Any]:
    return base_config(
        root,
        plugins=["axolotl_dece.DecePlugin", "tests.restart.victim.RecordAlphas"],
        output_dir=str(out / "out"),
        dataset_prepared_path=str(out / "prepared"),
        gradient_accumulation_steps=2,
        num_epochs=3,
        save_strategy="steps",
        save_steps=2,
        save_total_limit=99,
        auto_resume_from_checkpoints=True,
        **changes,
    )


def attempt(root: Path, name: str, moment: Moment | None = None, **changes: Any) -> int:
    """Run once in a process of its own; its exit code."""
    out = root / name
    out.mkdir(exist_ok=True)
    log = out / "attempt.log"
    process = start(log, run, out, config(root, out, **changes), moment)
    if moment is None:
        join([process], [log], timeout=300)
        return 0
    process.join(300)
    assert process.exitcode in (0, -signal.SIGKILL), log.read_text()[-4000:]
    return int(process.exitcode)


def alphas(out: Path) -> set[tuple[int, str]]:
    return {tuple(json.loads(line)) for line in (out / "alphas.jsonl").read_text().splitlines()}


def sha256(out: Path) -> str:
    return hashlib.sha256((out / "out" / "model.safetensors").read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def uninterrupted(folder: Path) -> Path:
    attempt(folder, "whole")
    return folder / "whole"


def test_ten_kills_leave_no_trace_in_alpha_weights_or_manifests(folder: Path, uninterrupted: Path) -> None:
    out = folder / "killed"
    codes = []
    for moment in moments():
        codes.append(attempt(folder, "killed", moment))
        for file in out.rglob("dece_run.json"):
            assert json.loads(file.read_text())["loss"] == "dece"
    assert codes.count(-signal.SIGKILL) == 10
    attempt(folder, "killed")
    assert len(alphas(uninterrupted)) == STEPS
    assert alphas(out) == alphas(uninterrupted)
    assert sha256(out) == sha256(uninterrupted)
    assert json.loads((out / "out" / "dece_run.json").read_text())["status"] == "finished"
