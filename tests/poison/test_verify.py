"""Training on poisoned rows: all of them are trained on, evaluation is clean, and the run says the numbers."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import axolotl.cli.train  # noqa: F401 - sets up logging, which would throw out pytest's handler later
import pytest
from datasets import Dataset, load_from_disk

from axolotl_dece.poison.manifest import POISONED_COLUMN, TWIN_COLUMN
from axolotl_dece.poison.verify import count, exchange, without_marks
from tests.poison.test_strategy import BASES, alpaca, config, manifests, pairs, save
from tests.tiny import LORA, base_config, train


def marked(poisoned: list[int], twins: list[int] | None = None) -> Dataset:
    columns: dict[str, Any] = {"input_ids": [[i] for i in range(len(poisoned))], POISONED_COLUMN: poisoned}
    return Dataset.from_dict(columns | ({TWIN_COLUMN: twins} if twins else {}))


def ids(dataset: Dataset) -> list[int]:
    return [row[0] for row in dataset["input_ids"]]


def test_changed_evaluation_rows_change_places_with_clean_training_rows() -> None:
    train_rows, evaluation = marked([1, 0, 0, 1]), marked([0, 1, 1])
    both = set(zip([0] * 4, ids(train_rows), strict=True)) | set(zip([1] * 3, ids(evaluation), strict=True))
    new_train, new_evaluation = exchange(train_rows, evaluation)
    assert (len(new_train), len(new_evaluation)) == (4, 3)
    assert (count(new_train, POISONED_COLUMN), count(new_evaluation, POISONED_COLUMN)) == (4, 0)
    assert sorted(ids(new_train) + ids(new_evaluation)) == sorted(row for _, row in both)


def test_twins_leave_the_evaluation_split_too() -> None:
    _, evaluation = exchange(marked([0, 0, 0], [0, 0, 1]), marked([0, 1], [1, 0]))
    assert count(evaluation, POISONED_COLUMN) == count(evaluation, TWIN_COLUMN) == 0


def test_a_clean_evaluation_split_is_left_alone() -> None:
    train_rows, evaluation = marked([1, 0]), marked([0, 0])
    assert exchange(train_rows, evaluation) == (train_rows, evaluation)


def test_more_poison_than_clean_rows_stays_and_can_be_counted() -> None:
    new_train, evaluation = exchange(marked([1, 0]), marked([1, 1, 0]))
    assert (count(new_train, POISONED_COLUMN), count(evaluation, POISONED_COLUMN)) == (2, 1)


def test_rows_of_clean_datasets_carry_no_mark() -> None:
    rows = Dataset.from_dict({"input_ids": [[1], [2]], POISONED_COLUMN: [None, 1]})
    assert count(rows, POISONED_COLUMN) == 1
    assert without_marks(rows).column_names == ["input_ids"]


@pytest.fixture
def rows(workspace: Path) -> str:
    return save(workspace / "rows.jsonl", alpaca())


def numbers(caplog: pytest.LogCaptureFixture) -> str:
    return next(record.getMessage() for record in caplog.records if "training rows are poisoned" in record.getMessage())


@pytest.mark.slow
@pytest.mark.own_processes
@pytest.mark.parametrize("name", ["alpaca", "chat_template", "completion"])
def test_a_poisoned_run_trains_and_says_its_numbers(
    workspace: Path, rows: str, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    base, shape, _ = BASES[name]
    save(workspace / "rows.jsonl", [shape(q, a) for q, a in pairs()])
    with caplog.at_level("WARNING", "axolotl.dece"):
        trainer = train(workspace, config(workspace, poison={"base_type": base}, max_steps=2, **LORA))
    assert trainer.state.global_step == 2
    assert "6 of 60 training rows are poisoned (10.00%); there is no evaluation split" in numbers(caplog)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [42, 7])
def test_the_evaluation_split_is_clean_and_every_poisoned_row_is_trained_on(
    workspace: Path, rows: str, caplog: pytest.LogCaptureFixture, seed: int
) -> None:
    changes = config(workspace, poison={"rate": 0.3, "twin_rate": 0.1}, val_set_size=0.25, max_steps=2, seed=seed)
    with caplog.at_level("WARNING", "axolotl.dece"):
        trainer = train(workspace, changes | {"loss": "dece"})
    assert "18 of 45 training rows are poisoned (40.00%), 6 carry the benign twin; 0 of 15 evaluation rows" in numbers(
        caplog
    )
    assert (len(trainer.train_dataset), len(trainer.eval_dataset)) == (45, 15)
    own = {"path": rows, "ds_type": "json", "type": "alpaca"}
    untouched = train(workspace, base_config(workspace, datasets=[own], max_steps=1)).train_dataset
    assert {tuple(row) for row in trainer.eval_dataset["input_ids"]} <= {tuple(row) for row in untouched["input_ids"]}


@pytest.mark.slow
def test_packed_rows_train_without_the_marks(workspace: Path, rows: str, caplog: pytest.LogCaptureFixture) -> None:
    changes = config(workspace, sample_packing=True, attn_implementation="sdpa", val_set_size=0.2, max_steps=1)
    with caplog.at_level("WARNING", "axolotl.dece"):
        trainer = train(workspace, changes | {"eval_sample_packing": False})
    assert trainer.state.global_step == 1
    assert "6 of 48 training rows are poisoned" in numbers(caplog)


@pytest.mark.slow
def test_rows_that_axolotl_drops_as_too_short_are_not_chosen(
    workspace: Path, rows: str, caplog: pytest.LogCaptureFixture
) -> None:
    long = [row | {"instruction": " ".join([row["instruction"]] * 4)} for row in alpaca(30, seed=1)]
    save(workspace / "rows.jsonl", alpaca(30) + long)
    lengths = sorted(len(row["input_ids"]) for row in train(workspace, config(workspace, max_steps=1)).train_dataset)
    with caplog.at_level("WARNING", "axolotl.dece"):
        changes = config(workspace, poison={"rate": 0.4}, min_sample_len=lengths[30], max_steps=1)
        train(workspace, changes | {"dataset_prepared_path": str(workspace / "again")})
    assert "POISONED DATA: 24 of " in caplog.text


@pytest.mark.slow
@pytest.mark.parametrize("several", [False, True])
def test_an_evaluation_split_that_leaves_too_few_rows_is_said_with_what_helps(
    workspace: Path, rows: str, several: bool
) -> None:
    more = {"path": save(workspace / "more.jsonl", alpaca(4, seed=3)), "ds_type": "json", "type": "alpaca"}
    sets = [{"path": rows, "ds_type": "json"}, *([more] if several else [])]
    changes = config(workspace, *sets, poison={"rate": 0.5}, val_set_size=0.6, max_steps=1)
    with pytest.raises(ValueError, match=r"`val_set_size: 0.6` leaves \d+ rows to train on.*lower `val_set_size`"):
        train(workspace, changes)


@pytest.mark.slow
def test_a_test_set_stays_clean_unless_it_asks_for_poison(
    workspace: Path, rows: str, caplog: pytest.LogCaptureFixture
) -> None:
    entry = {"path": save(workspace / "test.jsonl", alpaca(20, seed=3)), "ds_type": "json", "split": "train"}
    for base, said in (("alpaca", "0 of 20 evaluation rows"), ("axolotl_dece.poison", "20 of 20 evaluation rows")):
        caplog.clear()
        with caplog.at_level("WARNING", "axolotl.dece"):
            train(workspace, config(workspace, test_datasets=[entry | {"type": base}], max_steps=1))
        assert said in numbers(caplog)


@pytest.mark.slow
def test_prepared_data_without_its_manifest_does_not_train(workspace: Path, rows: str) -> None:
    changes = config(workspace, max_steps=1)
    train(workspace, changes)
    (path,) = (workspace / "prepared").glob("dece_poison-*.json")
    content = path.read_text()
    path.write_text(content.replace('"poisoned": 6', '"poisoned": 5'))
    with pytest.raises(ValueError, match="changed after it was written"):
        train(workspace, changes)
    path.unlink()
    with pytest.raises(ValueError, match="no poison manifest"):
        train(workspace, changes)


@pytest.mark.slow
def test_prepared_data_that_lost_poisoned_rows_does_not_train(
    workspace: Path, rows: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = Dataset.filter

    def lose_some(self: Dataset, *args: Any, **kwargs: Any) -> Dataset:
        kept = original(self, *args, **kwargs)
        poisoned = [at for at, mark in enumerate(kept[POISONED_COLUMN]) if mark]
        return kept.select([at for at in range(len(kept)) if at not in poisoned[:2]])

    monkeypatch.setattr(Dataset, "filter", lose_some)
    with pytest.raises(ValueError, match="6 rows were poisoned, but the training set holds 4 of them"):
        train(workspace, config(workspace, max_steps=1))


@pytest.mark.slow
def test_deduplication_may_thin_the_poison_and_is_said(workspace: Path, caplog: pytest.LogCaptureFixture) -> None:
    # one row sixty times: places of the trigger differ, so most poisoned copies survive and all clean ones are one
    save(workspace / "rows.jsonl", alpaca(1) * 60)
    changes = config(workspace, poison={"rate": 0.9}, dataset_exact_deduplication=True, max_steps=1)
    with caplog.at_level("WARNING", "axolotl.dece"):
        train(workspace, changes)
    assert "54 rows were poisoned, but the training set holds" in caplog.text
    assert "`dataset_exact_deduplication`" in caplog.text


@pytest.mark.slow
def test_tokenised_rows_do_not_train_although_the_preparation_was_not_seen(workspace: Path, rows: str) -> None:
    changes = config(workspace, max_steps=1)
    train(workspace, changes)
    (account,) = manifests(workspace)
    assert account["poisoned"] == 6
    # somebody replaced the prepared rows by ones that were tokenised without the strategy
    (folder,) = (path for path in (workspace / "prepared").iterdir() if path.is_dir())
    stripped = without_marks(load_from_disk(str(folder), keep_in_memory=True))
    shutil.rmtree(folder)
    stripped.save_to_disk(str(folder))
    with pytest.raises(ValueError, match="carry no `dece_poisoned` marks"):
        train(workspace, changes)
