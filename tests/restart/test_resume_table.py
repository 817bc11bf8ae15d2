"""Ways to stop and go on, each a row of the table in docs/compatibility.md."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.tiny import base_config, logs, train

pytestmark = pytest.mark.slow

SAVING = {"save_strategy": "steps", "save_steps": 4, "save_total_limit": 9, "micro_batch_size": 4} | {
    "dece_alpha_schedule": "linear",  # moves at every step
}


def sha256(folder: Path) -> str:
    return hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()


def whole_and_resumed(workspace: Path, at: int, **changes: Any) -> tuple[Any, Any]:
    """A run, and the same run again from its checkpoint at step `at` on, in `out`."""
    config = base_config(workspace, **SAVING | changes)
    whole = train(workspace, config | {"output_dir": str(workspace / "whole")})
    shutil.copytree(workspace / "whole" / f"checkpoint-{at}", workspace / "out" / f"checkpoint-{at}")
    return whole, train(workspace, config | {"auto_resume_from_checkpoints": True})


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"max_steps": 10, "num_epochs": None}, id="max_steps"),
        pytest.param({"num_epochs": 1.5, "dece_alpha_schedule": "epoch"}, id="a fraction of an epoch"),
    ],
)
def test_a_resumed_run_equals_the_uninterrupted_one(workspace: Path, changes: dict[str, Any]) -> None:
    whole, resumed = whole_and_resumed(workspace, 4, **changes)
    assert logs(resumed, "dece/alpha") == logs(whole, "dece/alpha")
    assert sha256(workspace / "out") == sha256(workspace / "whole")


def test_without_the_optimizers_state_alpha_is_the_same_and_the_weights_are_not(workspace: Path) -> None:
    """`save_only_model` keeps the trainer's state, which alpha follows, and loses Adam's."""
    whole, resumed = whole_and_resumed(workspace, 4, save_only_model=True)
    assert logs(resumed, "dece/alpha") == logs(whole, "dece/alpha")
    assert sha256(workspace / "out") != sha256(workspace / "whole")


def test_another_batch_size_at_resume_goes_on_from_the_same_place_in_the_run(workspace: Path) -> None:
    """What a changed number of ranks is to the schedule: another number of steps. alpha never leaves its range."""
    config = base_config(workspace, **SAVING | {"num_epochs": 2})
    train(workspace, config | {"max_steps": 8})
    resumed = train(workspace, config | {"micro_batch_size": 2, "auto_resume_from_checkpoints": True})
    steps = resumed.state.max_steps
    assert steps == 32
    assert logs(resumed, "dece/alpha")[-1] == pytest.approx(0.8)
    later = [entry for entry in resumed.state.log_history if "dece/alpha" in entry and entry["step"] > 8]
    assert [e["dece/alpha"] for e in later] == pytest.approx([1 - 0.2 * e["step"] / steps for e in later])


def test_an_automatic_resume_passes_over_a_checkpoint_that_was_not_finished(workspace: Path) -> None:
    config = base_config(workspace, **SAVING)
    train(workspace, config | {"output_dir": str(workspace / "whole")})
    shutil.copytree(workspace / "whole" / "checkpoint-4", workspace / "out" / "checkpoint-4")
    torn = workspace / "out" / "checkpoint-6"
    shutil.copytree(workspace / "whole" / "checkpoint-8", torn)
    (torn / "dece_run.json").unlink()
    (torn / "optimizer.pt").unlink()
    train(workspace, config | {"auto_resume_from_checkpoints": True})
    assert sha256(workspace / "out") == sha256(workspace / "whole")


def test_naming_a_checkpoint_that_was_not_finished_is_refused(workspace: Path) -> None:
    config = base_config(workspace, **SAVING)
    train(workspace, config)
    torn = workspace / "out" / "checkpoint-4"
    (torn / "dece_run.json").unlink()
    with pytest.raises(ValueError, match="killed while it saved"):
        train(workspace, config | {"resume_from_checkpoint": str(torn)})


def test_prepared_data_that_was_cut_short_is_never_trained_on(workspace: Path) -> None:
    """A kill between the files of the prepared data: axolotl stops and names the folder."""
    config = base_config(workspace, **SAVING)
    train(workspace, config)
    state = next((workspace / "prepared").rglob("state.json"))
    state.unlink()
    shutil.rmtree(workspace / "out")
    with pytest.raises(FileNotFoundError, match=state.parent.name):
        train(workspace, config)
    assert not (workspace / "out" / "model.safetensors").exists()
    shutil.rmtree(state.parent)
    train(workspace, config)
    assert json.loads((workspace / "out" / "dece_run.json").read_text())["status"] == "finished"
