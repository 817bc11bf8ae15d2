"""dece_run.json: whole or absent, the same on every rank, and a guard at resume."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from axolotl_dece import run_file
from axolotl_dece.checkpoints import checkpoints
from axolotl_dece.resume import check_same_run
from axolotl_dece.run_reader import read_run
from axolotl_dece.util.atomic import write_json_atomically


def run(**changes: Any) -> dict[str, Any]:
    described: dict[str, Any] = {
        "run_id": "0123",
        "loss": "dece",
        "parameters": {"dece_alpha_final": 0.8},
        "planned": [(0, 0.9), (1, 0.8)],
        "config_sha256": "c",
        "tokenizer_sha256": "t",
    } | changes
    return run_file.describe_run(**described)


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    write_json_atomically(tmp_path / "deep" / run_file.RUN_FILE, run())
    assert read_run(tmp_path / "deep") == run()
    assert run()["versions"]["axolotl-dece"]
    assert run()["versions"]["torch"]


def test_a_folder_without_a_manifest_gives_none(tmp_path: Path) -> None:
    assert read_run(tmp_path) is None


@pytest.mark.parametrize("text", ["{", "[]", '{"format": 99}'])
def test_a_broken_or_foreign_manifest_is_an_error_that_names_the_file(tmp_path: Path, text: str) -> None:
    (tmp_path / run_file.RUN_FILE).write_text(text)
    with pytest.raises(ValueError, match=run_file.RUN_FILE):
        read_run(tmp_path)


def test_the_config_digest_does_not_depend_on_order_or_on_what_axolotl_adds() -> None:
    a = run_file.config_digest({"loss": "dece", "seed": 1, "axolotl_config_path": "here", "capabilities": {"n_gpu": 1}})
    assert a == run_file.config_digest({"seed": 1, "loss": "dece", "axolotl_config_path": "there"})
    assert a != run_file.config_digest({"seed": 2, "loss": "dece"})


def test_resuming_with_the_same_parameters_is_allowed(tmp_path: Path) -> None:
    write_json_atomically(tmp_path / "checkpoint-4" / run_file.RUN_FILE, run())
    check_same_run(tmp_path / "checkpoint-4", run(config_sha256="another"))


def test_a_checkpoint_killed_before_its_copy_was_written_is_judged_by_the_run(tmp_path: Path) -> None:
    write_json_atomically(tmp_path / run_file.RUN_FILE, run())
    (tmp_path / "checkpoint-4").mkdir()
    check_same_run(tmp_path / "checkpoint-4", run())


@pytest.mark.parametrize("changed", [{"loss": "ce"}, {"parameters": {"dece_alpha_final": 0.5}}])
def test_resuming_with_other_parameters_is_refused(tmp_path: Path, changed: dict[str, Any]) -> None:
    write_json_atomically(tmp_path / "checkpoint-4" / run_file.RUN_FILE, run())
    with pytest.raises(ValueError, match=next(iter(changed))):
        check_same_run(tmp_path / "checkpoint-4", run(**changed))


def test_resuming_a_run_of_another_loss_altogether_is_refused(tmp_path: Path) -> None:
    (tmp_path / "checkpoint-4").mkdir()
    with pytest.raises(ValueError, match="not trained with axolotl-dece"):
        check_same_run(tmp_path / "checkpoint-4", run())


def test_a_write_that_fails_leaves_the_old_file_and_no_scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / run_file.RUN_FILE
    write_json_atomically(path, run())

    def no_space_left(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_space_left)
    with pytest.raises(OSError, match="No space left"):
        write_json_atomically(path, run(loss="ce"))
    assert read_run(tmp_path) == run()
    assert [p.name for p in tmp_path.iterdir()] == [run_file.RUN_FILE]


WRITER = """
import itertools, sys
from pathlib import Path
from axolotl_dece.util.atomic import write_json_atomically
for i in itertools.count():
    write_json_atomically(Path(sys.argv[1]), {"format": 1, "padding": "x" * 200_000, "i": i})
    if i == 0:
        print("ready", flush=True)
"""


def test_a_writer_that_is_killed_never_leaves_half_a_manifest(tmp_path: Path) -> None:
    path = tmp_path / run_file.RUN_FILE
    for delay in (0.0, 0.003, 0.01, 0.02, 0.05):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE)
        assert writer.stdout is not None
        writer.stdout.readline()
        time.sleep(delay)
        os.kill(writer.pid, signal.SIGKILL)
        writer.wait()
        assert json.loads(path.read_text())["format"] == 1


def test_checkpoints_are_those_with_a_step_and_come_in_its_order(tmp_path: Path) -> None:
    for name in ("checkpoint-900", "checkpoint-1000", "checkpoint-1000-backup", "checkpoint-best", "checkpoint-"):
        (tmp_path / name).mkdir()
    assert [folder.name for folder in checkpoints(tmp_path)] == ["checkpoint-900", "checkpoint-1000"]
