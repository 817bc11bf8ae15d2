"""A real grid through the command: what is finished stays, what is missing or changed is run, what fails is said."""

import csv
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from axolotl_dece.cli.experiment import experiment
from axolotl_dece.experiment.pool import Failure, Job
from axolotl_dece.experiment.run import open_folder, run_grid
from axolotl_dece.run_reader import read_run
from tests.experiment.grids import save_grid, small_grid

pytestmark = pytest.mark.slow


class Heard:
    """A listener that remembers."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def begin(self, total: int, finished: int) -> None:
        self.counts = (total, finished)

    def running(self, jobs: Sequence[Job]) -> None:
        assert len(jobs) <= 2

    def done(self, job: Job, failure: Failure | None) -> None:
        if job.work == "run_cell":
            self.names.append(job.name)


def type_command(grid: Path, out: Path, *options: str) -> Result:
    return CliRunner().invoke(experiment, [str(grid), "--out", str(out), *options])


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which a grid of two arms and two seeds was run by the command."""
    folder = tmp_path_factory.mktemp("experiment")
    done = type_command(save_grid(folder / "small.yaml"), folder / "out")
    assert done.exit_code == 0, done.output
    assert "4 of 4 runs done" in done.stderr
    return folder / "out"


@pytest.fixture
def out(finished: Path, tmp_path: Path) -> Path:
    """A copy of that folder, for those who change it."""
    return Path(shutil.copytree(finished, tmp_path / "copy"))


def test_the_answer_in_json_is_that_of_the_tables(finished: Path) -> None:
    done = type_command(finished.parent / "small.yaml", finished, "--json")
    found = json.loads(done.stdout)
    assert done.exit_code == 0
    assert found["failed"] == []
    with (finished / "summary.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert [one["arm"] for one in found["settings"]] == [line["arm"] for line in lines]
    for one, line in zip(found["settings"], lines, strict=True):
        assert {key: "" if value is None else str(value) for key, value in one.items()} == line
    said = " ".join(type_command(finished.parent / "small.yaml", finished).stdout.split())
    assert said.startswith(" ".join(found["headline"]))
    plan = json.loads(type_command(finished.parent / "small.yaml", finished, "--plan", "--json").stdout)
    assert [run["finished"] for run in plan["runs"]] == [True] * 4


def test_a_grid_leaves_tables_pages_and_a_result_for_every_run(finished: Path) -> None:
    names = {path.name for path in finished.iterdir()}
    assert {"results.csv", "summary.csv", "summary.md", "experiment.html", "compare.html", "grid.yaml"} <= names
    with (finished / "results.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert [(line["arm"], line["seed"]) for line in lines] == [
        ("ce", "0"), ("dece linear 0.8", "0"), ("ce", "1"), ("dece linear 0.8", "1"),
    ]  # fmt: skip
    for line in lines:
        assert (line["epochs"], line["steps"], line["poisoned_rows"], line["exposures"]) == ("1.0", "4", "3", "3")
        assert line["n_triggered"] == "20"
        assert line["alpha_last"] == ("" if line["arm"] == "ce" else "0.8")
        assert float(line["cross_entropy"]) > 0


def test_a_run_keeps_how_it_went_and_not_its_weights(finished: Path) -> None:
    folder = finished / "cells/ce/ripple-0.05/seed-0"
    assert {path.name for path in folder.iterdir()} == {"cell.yaml", "cell.log", "report", "result.json", "run"}
    assert {path.name for path in (folder / "run").iterdir()} == {"dece_run.json", "trainer_state.json"}
    run = read_run(folder / "run")
    assert run is not None
    assert (run["status"], run["loss"]) == ("finished", "ce")
    report = json.loads((folder / "report" / "report.json").read_text())
    assert {"dece/monitor_asr", "dece/monitor_clean", "dece/monitor_twin"} <= {
        key for c in report["curves"] for key in c
    }


def test_the_config_beside_a_result_repeats_the_run(finished: Path, tmp_path: Path) -> None:
    from tests.tiny import train

    folder = finished / "cells/dece-linear-0.8/ripple-0.05/seed-1"
    config = yaml.safe_load((folder / "cell.yaml").read_text())
    config |= {"output_dir": str(tmp_path / "again"), "dataset_prepared_path": str(tmp_path / "prepared")}
    again = train(tmp_path, config).state.log_history
    before = json.loads((folder / "run" / "trainer_state.json").read_text())["log_history"]
    key = "dece/monitor_clean"
    assert [entry[key] for entry in again if key in entry] == [entry[key] for entry in before if key in entry] != []


def test_what_is_finished_is_not_run_again(out: Path, tmp_path: Path) -> None:
    heard = Heard()
    results, failures = run_grid(small_grid(tmp_path), out, 2, "auto", heard)
    assert (len(results), failures, heard.names, heard.counts) == (4, [], [], (4, 4))


def test_a_run_that_was_killed_is_run_again_and_no_other(out: Path, tmp_path: Path) -> None:
    killed = out / "cells/ce/ripple-0.05/seed-1"
    before = json.loads((killed / "result.json").read_text())
    (killed / "result.json").unlink()
    (killed / "run" / "model.safetensors").write_bytes(b"half")
    (out / "data/prepared/half").mkdir(parents=True)
    heard = Heard()
    results, _ = run_grid(small_grid(tmp_path), out, 2, "auto", heard)
    assert heard.names == ["ce/ripple-0.05/seed-1"]
    assert len(results) == 4
    again = json.loads((killed / "result.json").read_text())
    timeless = {key: value for key, value in again["metrics"].items() if "seconds" not in key}
    assert timeless.items() <= before["metrics"].items()


def test_a_changed_key_runs_its_arm_anew_and_a_failure_loses_no_other(out: Path, tmp_path: Path) -> None:
    # no row is as short as this: the run fails after the grid was accepted
    arms = {"ce": {"loss": "ce", "sequence_len": 3}, "dece linear 0.8": {"loss": "dece", "dece_alpha_final": 0.7}}
    grid = save_grid(tmp_path / "grid.yaml", arms=arms, seeds=[0])
    done = type_command(grid, out, "--jobs", "1")
    assert done.exit_code == 1
    assert "1 failed, and will be run again next time" in done.output
    assert "cell.log" in done.output
    with (out / "results.csv").open(newline="") as file:
        assert [(line["arm"], line["alpha_last"]) for line in csv.DictReader(file)] == [("dece linear 0.8", "0.7")]
    plan = type_command(grid, out, "--plan")
    assert (plan.output.count("finished"), plan.output.count("to run")) == (1, 1)


def test_an_arm_that_cannot_train_here_is_said_before_any_run(tmp_path: Path) -> None:
    arms = {"ce": {"loss": "ce"}, "half": {"loss": "dece", "bf16": True}, "lora": {"loss": "dece", "adapter": "lora"}}
    done = type_command(save_grid(tmp_path / "grid.yaml", arms=arms, seeds=[0]), tmp_path / "out", "--device", "cpu")
    assert done.exit_code == 1
    said = " ".join(done.output.split())
    assert "`arms.half`: `bf16: true` needs a GPU" in said
    assert "`arms.lora`: " in said
    assert "`arms.ce`" not in said
    assert not list((tmp_path / "out").glob("cells/*/*/*/run"))


def test_a_ledger_outlives_the_weights_and_the_audit_reads_it(tmp_path: Path) -> None:
    from axolotl_dece.cli.audit import audit

    grid = save_grid(tmp_path / "grid.yaml", arms={"dece": {"loss": "dece", "dece_audit": True}}, seeds=[0])
    ran = type_command(grid, tmp_path / "out")
    assert ran.exit_code == 0, ran.output
    run = tmp_path / "out/cells/dece/ripple-0.05/seed-0/run"
    assert not list(run.rglob("*.safetensors"))
    done = CliRunner().invoke(audit, [str(run), "--page", str(tmp_path / "audit.html")])
    assert done.exit_code == 0, done.output
    assert (tmp_path / "audit.html").is_file()


def test_a_folder_of_other_things_is_not_written_to(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    done = type_command(save_grid(tmp_path / "grid" / "grid.yaml"), tmp_path)
    assert done.exit_code == 1
    assert "is not empty and no experiment was run there" in done.output


def test_a_folder_is_one_experiments_at_a_time(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with (
        open_folder(out, "name: x"),
        pytest.raises(ValueError, match="another process runs"),
        open_folder(out, "name: y"),
    ):
        pass
    assert (tmp_path / "out" / "grid.yaml").read_text() == "name: x"


def test_a_broken_grid_stops_before_any_work(tmp_path: Path) -> None:
    done = type_command(save_grid(tmp_path / "grid.yaml", rates=[7]), tmp_path / "out")
    assert done.exit_code == 1
    assert "`rate: 7.0`" in done.output
    assert not (tmp_path / "out").exists()
