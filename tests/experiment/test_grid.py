"""A grid is the product of its lists, says everything that is wrong at once, and every example is one that runs."""

import dataclasses
import re
import shutil
from collections.abc import Iterator
from itertools import islice, product
from pathlib import Path
from typing import Any

import pytest

from axolotl_dece.audit.decisions import write_decisions
from axolotl_dece.check import inspect_config
from axolotl_dece.experiment.cell import Cell
from axolotl_dece.experiment.grid import read_grid
from axolotl_dece.keys import DeceKeys
from axolotl_dece.loss.names import LOSSES
from axolotl_dece.poison.benign_twin import CUES
from axolotl_dece.poison.triggers import TRIGGERS
from axolotl_dece.util.atomic import write_json_atomically, write_text_atomically
from examples.tasks.synthetic import SyntheticTask
from tests.experiment.grids import made_up, save_grid, small_grid

EXAMPLES = sorted((Path(__file__).resolve().parents[2] / "examples" / "experiments").glob("*.yaml"))
OF_A_LOSS = {key for loss in LOSSES.values() for key in loss.keys}


@pytest.fixture(autouse=True)
def triggers_of_a_task_end_with_its_test() -> Iterator[None]:
    """A task may bring triggers of its own, which no other test is to meet."""
    before = [(known, dict(known)) for known in (TRIGGERS, CUES)]
    yield
    for known, what in before:
        known.clear()
        known.update(what)


def first(folder: Path, **changes: Any) -> Cell:
    return next(small_grid(folder, **changes).cells())


def test_a_grid_is_the_product_of_its_lists(tmp_path: Path) -> None:
    grid = small_grid(tmp_path, rates=[0, 0.05, 0.1], attacks=["ripple", "badpre"], seeds=[0, 1, 2])
    cells = list(grid.cells())
    assert len(cells) == 2 * 2 * 3 * 3
    assert len({cell.name for cell in cells}) == len(cells)
    assert [cell.seed for cell in cells] == sorted(cell.seed for cell in cells), "a picture of all arms comes early"
    assert [(cell.name, cell.digest) for cell in cells] == [(cell.name, cell.digest) for cell in grid.cells()]


def test_a_run_lies_where_its_name_says(tmp_path: Path) -> None:
    cell = first(tmp_path, arms={"DeCE: linear/0.8": {"loss": "dece", "dece_alpha_final": 0.8}})
    assert cell.name == "dece-linear-0.8/ripple-0.05/seed-0"
    assert cell.folder(tmp_path) == tmp_path / "cells" / cell.name


def test_an_arm_wins_over_the_config_of_all(tmp_path: Path) -> None:
    cell = first(tmp_path, config={"num_epochs": 1, "learning_rate": 0.1}, arms={"a": {"loss": "ce", "num_epochs": 2}})
    assert cell.config == {"num_epochs": 2, "learning_rate": 0.1, "loss": "ce"}


@pytest.mark.parametrize(
    "change",
    [
        {"config": {"num_epochs": 2}},
        {"arms": {"ce": {"loss": "gce"}}},
        {"attacks": ["badpre"]},
        {"rates": [0.1]},
        {"twin_rate": 0.1},
        {"seeds": [7]},
        {"monitor": {"every_steps": 3}},
        {"task": {"name": "examples.tasks.synthetic", "train_rows": 65}},
    ],
)
def test_whatever_decides_the_numbers_changes_the_digest(tmp_path: Path, change: dict[str, Any]) -> None:
    assert first(tmp_path, **change).digest != first(tmp_path).digest


def test_names_and_housekeeping_do_not_change_the_digest(tmp_path: Path) -> None:
    other = first(tmp_path, name="other", keep_weights=True, arms={"plain": {"loss": "ce"}})
    assert other.digest == first(tmp_path).digest


def test_a_result_counts_only_for_the_run_it_was_made_of(tmp_path: Path) -> None:
    cell, changed = first(tmp_path), first(tmp_path, twin_rate=0.1)
    assert cell.folder(tmp_path) == changed.folder(tmp_path)
    assert cell.read_result(tmp_path) is None
    write_json_atomically(cell.folder(tmp_path) / "result.json", made_up(cell))
    assert cell.read_result(tmp_path) == made_up(cell)
    assert changed.read_result(tmp_path) is None


def test_a_result_that_was_cut_short_is_named_with_the_remedy(tmp_path: Path) -> None:
    path = first(tmp_path).folder(tmp_path) / "result.json"
    path.parent.mkdir(parents=True)
    path.write_text('{"digest": ')
    with pytest.raises(ValueError, match=r"result\.json is not valid JSON .*; delete its folder, and the run is done"):
        first(tmp_path).read_result(tmp_path)
    shutil.rmtree(path.parent)
    assert first(tmp_path).read_result(tmp_path) is None, "which is what the run is done again for"


def test_rows_of_another_content_change_the_digest(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"instruction": "a", "output": "b"}\n')
    rows = str(tmp_path / "rows.jsonl")
    task = {"name": "files", "base_model": "m", "train": rows, "clean": rows}
    before = first(tmp_path, task=task)
    (tmp_path / "rows.jsonl").write_text('{"instruction": "a", "output": "c"}\n')
    after = first(tmp_path, task=task)
    assert before.digest != after.digest
    assert before.task_folder(tmp_path) != after.task_folder(tmp_path)


def test_a_default_that_moved_changes_the_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or an upgrade would take the old numbers for those of the new default."""
    dece = {"arms": {"a": {"loss": "dece"}}}
    before = first(tmp_path, **dece).digest
    assert first(tmp_path, arms={"a": {"loss": "ce"}}).loss == {"loss": "ce"}
    field = DeceKeys.model_fields["dece_alpha_base"]
    monkeypatch.setattr(field, "default", 0.9)
    DeceKeys.model_rebuild(force=True)
    try:
        assert first(tmp_path, **dece).digest != before
    finally:
        monkeypatch.undo()
        DeceKeys.model_rebuild(force=True)
    assert first(tmp_path, **dece).digest == before


def test_decisions_count_by_their_content_and_not_by_their_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, row in (("a", "0"), ("b", "0"), ("c", "1")):
        write_decisions(tmp_path / f"{name}.jsonl", [{"row": row * 16, "decision": "drop"}])
    a, b, c = (first(tmp_path, config={"dece_decisions": f"{name}.jsonl"}) for name in "abc")
    assert a.digest == b.digest != c.digest
    assert a.config["dece_decisions"] == str(tmp_path / "a.jsonl"), "the run may be repeated from anywhere"
    with pytest.raises(ValueError, match=r"`arms.ce`: `dece_decisions: d.jsonl` cannot be read"):
        first(tmp_path, config={"dece_decisions": "d.jsonl"})


def test_every_seed_has_decisions_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another seed poisons other rows, and a decision about a row that is not there stops a run."""
    monkeypatch.chdir(tmp_path)
    for seed, row in ((0, "0"), (1, "1")):
        write_decisions(tmp_path / f"decided-{seed}.jsonl", [{"row": row * 16, "decision": "drop"}])
    own = {"arms": {"a": {"loss": "ce", "dece_decisions": "decided-{seed}.jsonl"}}}
    cells = list(read_grid(save_grid(tmp_path / "grid.yaml", **own, rates=[0.05], seeds=[0, 1])).cells())
    assert [cell.config["dece_decisions"] for cell in cells] == [str(tmp_path / f"decided-{n}.jsonl") for n in (0, 1)]
    assert len({cell.loss["decisions"] for cell in cells}) == 2
    with pytest.raises(ValueError, match=r"decided-2.jsonl` cannot be read") as caught:
        read_grid(save_grid(tmp_path / "grid.yaml", **own, seeds=[0, 1, 2]))
    assert "decided-1" not in str(caught.value)
    with pytest.raises(ValueError, match=r"decided-2.jsonl` cannot be read"):
        read_grid(save_grid(tmp_path / "grid.yaml", **own, seeds=[2], rate=1))


def test_every_seed_goes_on_from_an_adapter_of_its_own_which_counts_by_its_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, weights in (("a-0", b"x"), ("a-1", b"y"), ("b-0", b"x"), ("c-0", b"z")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "adapter_model.safetensors").write_bytes(weights)

    def cells(name: str, *seeds: int) -> list[Cell]:
        config = {"adapter": "lora", "lora_model_dir": f"{name}-{{seed}}"}
        grid = save_grid(
            tmp_path / "grid.yaml", config=config, arms={"a": {"loss": "ce"}}, rates=[0.05], seeds=[*seeds]
        )
        return list(read_grid(grid).cells())

    assert [cell.config["lora_model_dir"] for cell in cells("a", 0, 1)] == [str(tmp_path / f"a-{n}") for n in (0, 1)]
    (a,), (b,), (c,) = (cells(name, 0) for name in "abc")
    assert a.digest == b.digest != c.digest
    with pytest.raises(ValueError, match=r"`lora_model_dir: a-2` holds no weights") as caught:
        cells("a", 0, 1, 2)
    assert "a-1" not in str(caught.value)


def test_everything_wrong_is_said_at_once(tmp_path: Path) -> None:
    path = save_grid(
        tmp_path / "grid.yaml",
        config={"num_epochz": 3, "seed": 1},
        arms={
            "a": {"loss": "dece", "dece_alpha_schedule": "constant"},
            "b": {"loss": "dcee"},
            "c c": {"loss": "ce"},
            "C-C": {"loss": "ce"},
        },
        attacks=["riple", {"name": "x", "trigger": "rare_token", "rate": 0.1}],
        rates=[0.05, 0.05, 1.5],
        seeds=[1, 1],
    )
    with pytest.raises(ValueError, match="cannot be run") as caught:
        read_grid(path)
    said = str(caught.value)
    for words in (
        "`arms.a`: unknown key `num_epochz: 3`",
        "`arms.a`: `seed` is not for a grid: write it in `seeds`",
        "`arms.a`: `dece_alpha_schedule: constant` needs `dece_alpha`",
        "`arms.b`: `loss: 'dcee'` must be",
        "`arms` holds `c-c` 2 times",
        "`attacks.riple`: unknown attack 'riple'",
        "did you mean `ripple`?",
        "`attacks.x.rate`: the grid and its task say it",
        "`rates` holds `0.05` 2 times",
        "`rate: 1.5`",
        "`seeds` holds `1` 2 times",
    ):
        assert words in said


def test_a_grid_of_another_shape_is_refused_with_its_arms_looked_at(tmp_path: Path) -> None:
    path = save_grid(tmp_path / "grid.yaml", arms={"a": {"loss": "dcee"}}, sedes=[1], seeds=[], rates="all")
    with pytest.raises(ValueError, match="cannot be run") as caught:
        read_grid(path)
    for words in ("unknown key `sedes`", "`seeds: []`", "`rates: 'all'`", "`arms.a`: `loss: 'dcee'`"):
        assert words in str(caught.value)


def test_files_that_are_not_there_are_named(tmp_path: Path) -> None:
    task = {"name": "files", "base_model": "m", "train": "nowhere.jsonl", "clean": "neither.jsonl"}
    with pytest.raises(ValueError, match="cannot be run") as caught:
        small_grid(tmp_path, task=task)
    assert "`task.train: nowhere.jsonl` is not a file" in str(caught.value)
    assert "`task.clean: neither.jsonl` is not a file" in str(caught.value)


def test_a_key_written_twice_is_refused(tmp_path: Path) -> None:
    path = save_grid(tmp_path / "grid.yaml")
    path.write_text(path.read_text() + "name: again\n")
    with pytest.raises(ValueError, match="`name` is written twice"):
        read_grid(path)


def test_the_grids_of_the_evidence_are_all_there() -> None:
    names = {"losses", "schedules", "lora", "long", "rates", "adaptive"}
    assert names <= {path.stem for path in EXAMPLES}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_says_what_it_asks_how_long_it_takes_and_how_to_start_it(path: Path) -> None:
    said = "".join(line for line in path.read_text().splitlines(keepends=True) if line.startswith("#"))
    assert "?" in said
    assert re.search(r"minutes|hour", said)
    assert f"axolotl dece experiment examples/experiments/{path.name}" in said


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_axolotl_accepts_every_arm_of_an_example(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # where the grids look for their files; rows that are looked at are the synthetic task's, made in a moment
    monkeypatch.chdir(tmp_path)
    for folder, name in product(("lyra", "smollm2/lyra-500"), ("train.csv", "valid.csv")):
        write_text_atomically(tmp_path / folder / name, "src,tgt\n")
    of_seeds = [f"{name}-{seed}.jsonl" for name in ("decisions", "groups") for seed in range(3)]
    for name in (*of_seeds, "trusted.jsonl"):
        write_decisions(tmp_path / name, [{"row": "0" * 16, "decision": "drop"}])
    for seed in range(3):
        first_run = tmp_path / f"first/cells/dece-0.95/sentence-and-loop-0.2/seed-{seed}/run"
        write_text_atomically(first_run / "adapter_model.safetensors", "weights")
    grid = read_grid(path)
    assert grid.name == path.stem
    task = SyntheticTask(name="examples.tasks.synthetic", train_rows=20, test_rows=4, base_steps=1)
    material = task.prepare(tmp_path / "task", 0)
    for cell in islice(grid.cells(), len(grid.arms)):
        small = dataclasses.replace(cell, poison=cell.poison | {"rate": 0.2, "twin_rate": 0.2})
        config = small.training_config(material, tmp_path, tmp_path / "cell")
        # the keys of the loss were looked at when the grid was read; here they would only be said not to be DeCE's
        plain = {key: value for key, value in config.items() if key not in OF_A_LOSS} | {"loss": "dece"}
        assert [finding.text for finding in inspect_config(plain, []) if finding.level == "error"] == []
