"""Curves are of the run in the folder, never of an older one whose checkpoints still lie there."""

from pathlib import Path
from typing import Any

import pytest

from axolotl_dece.evaluation.history import read_curves
from axolotl_dece.run_file import RUN_FILE
from axolotl_dece.util.atomic import write_json_atomically

RECORD = {"format": 1, "loss": "dece", "parameters": {}, "config_digest": "c", "tokenizer_sha256": "t"}


def save(folder: Path, step: int, state: bool = True, **record: Any) -> None:
    write_json_atomically(folder / RUN_FILE, RECORD | {"step": step} | record)
    if state:
        log = [{"step": step, "loss": 1.0}]
        write_json_atomically(folder / "trainer_state.json", {"global_step": step, "log_history": log})


def steps(run: Path) -> list[float]:
    return [entry["step"] for entry in read_curves(run)]


def test_the_last_checkpoint_of_the_run_has_the_curves(tmp_path: Path) -> None:
    save(tmp_path, 100, state=False)
    save(tmp_path / "checkpoint-50", 50)
    save(tmp_path / "checkpoint-100", 100)
    assert steps(tmp_path) == [100]


@pytest.mark.parametrize(
    "older", [{"run_id": "old"}, {"config_digest": "other"}, {}], ids=["run id", "config", "same config"]
)
def test_a_killed_second_run_does_not_show_the_curves_of_the_first(tmp_path: Path, older: dict[str, str]) -> None:
    newer = {"run_id": "new"} if "run_id" in older else {}
    save(tmp_path, 50, state=False, **newer)
    save(tmp_path / "checkpoint-50", 50, **newer)
    save(tmp_path / "checkpoint-100", 100, **older)
    assert steps(tmp_path) == [50]


def test_a_run_killed_before_it_saved_has_no_curves(tmp_path: Path) -> None:
    save(tmp_path, 0, state=False)
    save(tmp_path / "checkpoint-100", 100)
    (tmp_path / "checkpoint-150").mkdir()
    write_json_atomically(tmp_path / "checkpoint-150" / "trainer_state.json", {"global_step": 0, "log_history": []})
    assert steps(tmp_path) == []


@pytest.mark.parametrize("older", [{"run_id": "old"}, {"config_digest": "other"}], ids=["run id", "config"])
def test_a_second_run_without_checkpoints_does_not_show_the_curves_of_the_first(
    tmp_path: Path, older: dict[str, str]
) -> None:
    save(tmp_path, 200, state=False, **({"run_id": "new"} if "run_id" in older else {}))
    save(tmp_path / "checkpoint-100", 100, **older)
    assert steps(tmp_path) == []
