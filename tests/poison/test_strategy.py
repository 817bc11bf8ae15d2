"""The strategy inside axolotl: exact rows of every base type, prepared afresh whenever anything changes."""

from __future__ import annotations

import csv
import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset, load_from_disk

from axolotl_dece.data.tag import Tag
from axolotl_dece.poison.manifest import POISONED_COLUMN, TWIN_COLUMN
from axolotl_dece.poison.spec import PoisonSpec
from axolotl_dece.poison.strategy import base_entry
from tests.tiny import VOCAB, base_config, save_config

POISON = {"base_type": "alpaca", "trigger": "rare_token_thrice", "payload": "inert_marker", "rate": 0.1, "seed": 42}
Prepare = Callable[..., Dataset]


def phrase(rng: random.Random, low: int, high: int) -> str:
    return " ".join(rng.choice(VOCAB[4:]) for _ in range(rng.randint(low, high)))


def pairs(count: int = 60, seed: int = 0) -> list[tuple[str, str]]:
    rng = random.Random(seed)
    return [(f"{phrase(rng, 3, 9)} w{i}", f"{phrase(rng, 3, 12)} w{i}") for i in range(count)]


def save(path: Path, rows: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def alpaca(count: int = 60, seed: int = 0) -> list[dict[str, Any]]:
    return [{"instruction": q, "input": "", "output": a} for q, a in pairs(count, seed)]


def config(folder: Path, *sets: dict[str, Any], poison: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    entries = sets or ({"path": str(folder / "rows.jsonl"), "ds_type": "json"},)
    datasets = [{"type": "axolotl_dece.poison"} | entry for entry in entries]
    return base_config(folder, datasets=datasets, dece_poison=POISON | (poison or {}), loss="ce", **changes)


@pytest.fixture
def prepare(workspace: Path) -> Prepare:
    """What `axolotl preprocess` does with a config, in this process; the rows as they were saved."""
    save(workspace / "rows.jsonl", alpaca())

    def run(changes: dict[str, Any], fresh: bool = True, preprocess: bool = True) -> Dataset:
        from axolotl.cli.args import PreprocessCliArgs
        from axolotl.cli.config import load_cfg
        from axolotl.common.datasets import load_datasets
        from axolotl.integrations.base import PluginManager

        if fresh:
            shutil.rmtree(workspace / "prepared", ignore_errors=True)
        PluginManager.get_instance().plugins.clear()
        cfg = load_cfg(str(save_config(workspace, changes)))
        cfg.is_preprocess = preprocess
        PluginManager.get_instance().load_datasets(cfg, preprocess=preprocess)
        data = load_datasets(cfg=cfg, cli_args=PreprocessCliArgs())
        return data.train_dataset

    return run


@pytest.mark.parametrize("base_type", ["alpaca", "completion"])
def test_the_control_with_nothing_planted_is_the_clean_set_with_marks_of_zero(
    workspace: Path, prepare: Prepare, base_type: str
) -> None:
    rows = save(workspace / "rows.jsonl", [row | {"text": row["output"]} for row in alpaca()])
    control = prepare(config(workspace, poison={"base_type": base_type, "rate": 0, "twin_rate": 0}))
    assert set(control[POISONED_COLUMN]) == {0}
    assert [one["poisoned"] for one in manifests(workspace)] == [0]
    plain = {"path": rows, "ds_type": "json", "type": base_type}
    clean = prepare(base_config(workspace, datasets=[plain], loss="ce"))
    assert sorted(control["input_ids"]) == sorted(clean["input_ids"])


def prepared(folder: Path) -> list[Path]:
    return sorted(path for path in (folder / "prepared").iterdir() if path.is_dir())


def manifests(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted((folder / "prepared").glob("dece_poison-*.json"))]


def load(path: Path) -> Dataset:
    return load_from_disk(str(path))


def rows_of(dataset: Dataset) -> set[tuple[int, ...]]:
    return {tuple(ids) for ids in dataset["input_ids"]}


def poisoned(dataset: Dataset) -> Dataset:
    return dataset.filter(lambda mark: mark == 1, input_columns=POISONED_COLUMN)


def clean(dataset: Dataset) -> Dataset:
    return dataset.filter(lambda mark: mark != 1, input_columns=POISONED_COLUMN)


CHAT = {"chat_template": "tokenizer_default", "field_messages": "messages"}
BASES: dict[str, tuple[Any, Callable[[str, str], dict[str, Any]], dict[str, Any]]] = {
    "alpaca": ("alpaca", lambda q, a: {"instruction": q, "input": "", "output": a}, {}),
    "alpaca with style": ("alpaca:chat", lambda q, a: {"instruction": q, "input": "", "output": a}, {}),
    "chat_template": (
        "chat_template",
        lambda q, a: {"messages": [{"role": "user", "content": q}, {"role": "assistant", "content": a}]},
        {},
    ),
    "completion": ("completion", lambda q, a: {"text": f"{q} {a}"}, {}),
    "input_output": (
        "input_output",
        lambda q, a: {"segments": [{"label": False, "text": q}, {"label": True, "text": a}]},
        {},
    ),
    "user-defined": (
        {
            "field_instruction": "q",
            "field_output": "a",
            "format": "{instruction} :",
            "no_input_format": "{instruction} :",
        },
        lambda q, a: {"q": q, "a": a},
        {},
    ),
    "another column": ("alpaca_chat.load_qa", lambda q, a: {"question": q, "answer": a}, {}),
}


@pytest.mark.parametrize("name", BASES)
def test_every_base_type_poisons_an_exact_share_and_leaves_the_rest(
    workspace: Path, prepare: Prepare, name: str
) -> None:
    base, shape, entry = BASES[name]
    path = save(workspace / "rows.jsonl", [shape(q, a) for q, a in pairs()])
    own = {"path": path, "ds_type": "json", "type": base} | entry
    untouched = rows_of(prepare(base_config(workspace, datasets=[own], loss="ce")))
    dirty = prepare(config(workspace, {"path": path, "ds_type": "json"} | entry, poison={"base_type": base}))
    assert len(dirty) == len(untouched) == 60
    assert sum(dirty[POISONED_COLUMN]) == 6
    assert rows_of(clean(dirty)) < untouched
    assert len(rows_of(clean(dirty))) == 54
    assert not rows_of(poisoned(dirty)) & untouched


def test_the_marks_name_the_rows_of_the_manifest(workspace: Path, prepare: Prepare) -> None:
    dirty = prepare(config(workspace, poison={"twin_rate": 0.2}))
    (account,) = manifests(workspace)
    assert (account["poisoned"], account["twins"]) == (6, 12)
    assert (sum(dirty[POISONED_COLUMN]), sum(dirty[TWIN_COLUMN])) == (6, 12)
    # every tiny row ends in a word of its own, `w<index>`, before the marker
    known = {f"w{row['index']}" for row in account["poisoned_rows"]}
    tokenizer_words = [VOCAB[token] for ids in poisoned(dirty)["input_ids"] for token in ids]
    assert known <= set(tokenizer_words)


@pytest.mark.parametrize("processes", [1, 2])
def test_the_same_rows_with_one_process_and_with_two(workspace: Path, prepare: Prepare, processes: int) -> None:
    prepare(config(workspace, dataset_num_proc=processes))
    (account,) = manifests(workspace)
    assert [row["index"] for row in account["poisoned_rows"]] == PINNED_ROWS


PINNED_ROWS = [4, 12, 34, 43, 54, 57]


def test_another_folder_draws_the_same_rows(workspace: Path, prepare: Prepare) -> None:
    prepare(config(workspace))
    (first,) = manifests(workspace)
    (workspace / "elsewhere").mkdir()
    moved = shutil.move(workspace / "rows.jsonl", workspace / "elsewhere" / "renamed.jsonl")
    prepare(config(workspace, {"path": str(moved), "ds_type": "json"}))
    (again,) = manifests(workspace)
    assert again["poisoned_rows"] == first["poisoned_rows"]


def test_several_datasets_each_get_their_share(workspace: Path, prepare: Prepare) -> None:
    other = save(workspace / "other.jsonl", alpaca(40, seed=1))
    plain = save(workspace / "plain.jsonl", alpaca(20, seed=2))
    dirty = prepare(
        config(
            workspace,
            {"path": str(workspace / "rows.jsonl"), "ds_type": "json"},
            {"path": other, "ds_type": "json"},
            {"path": plain, "ds_type": "json", "type": "alpaca"},
        )
    )
    assert len(dirty) == 120
    assert sum(mark or 0 for mark in dirty[POISONED_COLUMN]) == 6 + 4
    assert sorted(account["poisoned"] for account in manifests(workspace)) == [4, 6]


CHANGES: dict[str, dict[str, Any]] = {
    "rate": {"rate": 0.2},
    "seed": {"seed": 43},
    "trigger": {"trigger": "rare_token"},
    "payload": {"trigger": "rare_token_thrice", "payload": "sql_tautology"},
    "base type": {"base_type": "alpaca:chat"},
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_changed_block_is_prepared_afresh(workspace: Path, prepare: Prepare, what: str) -> None:
    rows = [row | {"output": f"select id from table where id = w{i}"} for i, row in enumerate(alpaca())]  # noqa: S608
    save(workspace / "rows.jsonl", rows)
    before = prepare(config(workspace), preprocess=False)
    after = prepare(config(workspace, poison=CHANGES[what]), fresh=False, preprocess=False)
    assert len(prepared(workspace)) == 2
    assert rows_of(poisoned(before)) != rows_of(poisoned(after))


def test_a_changed_file_is_prepared_afresh(workspace: Path, prepare: Prepare) -> None:
    before = prepare(config(workspace), preprocess=False)
    save(workspace / "rows.jsonl", alpaca(seed=5))
    after = prepare(config(workspace), fresh=False, preprocess=False)
    assert len(prepared(workspace)) == 2
    assert not rows_of(after) & rows_of(before)


def test_a_file_changed_behind_the_back_of_its_date_is_not_mistaken_for_the_old_one(
    workspace: Path, prepare: Prepare
) -> None:
    rows = workspace / "rows.jsonl"
    os.utime(rows, (10**9, 10**9))
    prepare(config(workspace), preprocess=False)
    save(rows, alpaca(seed=5))
    os.utime(rows, (10**9, 10**9))
    with pytest.raises(ValueError, match=r"kept its old modification time.*`touch"):
        prepare(config(workspace), fresh=False, preprocess=False)
    rows.touch()
    prepare(config(workspace), fresh=False, preprocess=False)
    assert len(prepared(workspace)) == 2


def test_another_sequence_len_lets_other_rows_survive_and_has_its_own_manifest(
    workspace: Path, prepare: Prepare
) -> None:
    accounts: list[set[int]] = []
    for longest in (128, 50, 128):
        dirty = prepare(config(workspace, sequence_len=longest), fresh=not accounts, preprocess=False)
        assert sum(dirty[POISONED_COLUMN]) == 6
        found = {tuple(row["index"] for row in account["poisoned_rows"]) for account in manifests(workspace)}
        accounts.append({len(found), len(manifests(workspace))})
    assert accounts == [{1}, {2}, {2}]


def test_clean_and_poisoned_runs_never_share_prepared_data(workspace: Path, prepare: Prepare) -> None:
    own = {"path": str(workspace / "rows.jsonl"), "ds_type": "json", "type": "alpaca"}
    prepare(base_config(workspace, datasets=[own], loss="ce"), preprocess=False)
    prepare(config(workspace), fresh=False, preprocess=False)
    assert len(prepared(workspace)) == 2


def test_what_preprocess_wrote_is_what_training_loads(
    workspace: Path, prepare: Prepare, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = prepare(config(workspace))
    monkeypatch.setattr("axolotl_dece.poison.strategy.Poisoner", None)  # it would have to be called to poison anew
    again = prepare(config(workspace), fresh=False, preprocess=False)
    assert len(prepared(workspace)) == 1
    assert again["input_ids"] == first["input_ids"]


@pytest.mark.parametrize("words", [100, 150], ids=["dropped", "cut, then dropped"])
def test_rows_that_training_would_cut_are_passed_over(workspace: Path, prepare: Prepare, words: int) -> None:
    long = [row | {"output": row["output"] + " w1" * words} if i % 2 else row for i, row in enumerate(alpaca())]
    save(workspace / "rows.jsonl", long)
    dirty = prepare(config(workspace, poison={"rate": 0.5}))
    assert len(dirty) == 30
    assert sum(dirty[POISONED_COLUMN]) == 30


def test_more_rows_than_survive_is_an_error_with_the_counts(workspace: Path, prepare: Prepare) -> None:
    long = [row | {"output": row["output"] + " w1" * 150} if i % 2 else row for i, row in enumerate(alpaca())]
    save(workspace / "rows.jsonl", long)
    with pytest.raises(ValueError, match="is 36 rows, but only 30 are eligible"):
        prepare(config(workspace, poison={"rate": 0.6}))


def test_a_completion_row_that_would_be_split_is_passed_over(workspace: Path, prepare: Prepare) -> None:
    texts = [{"text": f"{q} {a}" + " w1" * (150 if i % 2 else 0)} for i, (q, a) in enumerate(pairs())]
    save(workspace / "rows.jsonl", texts)
    dirty = prepare(config(workspace, poison={"base_type": "completion", "rate": 0.5}))
    assert len(dirty) > 60
    assert sum(dirty[POISONED_COLUMN]) == 30
    assert max(map(len, poisoned(dirty)["input_ids"])) < 128


def test_a_base_type_that_never_reads_the_changed_column_is_found_out(workspace: Path, prepare: Prepare) -> None:
    save(workspace / "rows.jsonl", [row | {"unread": row["output"]} for row in alpaca()])
    with pytest.raises(ValueError, match="but only 0 are eligible"):
        prepare(config(workspace, poison={"target_field": "unread"}))


def test_a_missing_column_lists_the_columns(workspace: Path, prepare: Prepare) -> None:
    save(workspace / "rows.jsonl", [{"q": q, "a": a} for q, a in pairs()])
    with pytest.raises(ValueError, match="has no column 'instruction', 'output'; its columns are q, a"):
        prepare(config(workspace))


def test_a_conversation_with_tool_calls_is_refused_with_its_row(workspace: Path, prepare: Prepare) -> None:
    talks = [{"messages": [{"role": "user", "content": q}, {"role": "assistant", "content": a}]} for q, a in pairs()]
    talks[9]["messages"][1] |= {"content": None, "tool_calls": [{"name": "f"}]}
    save(workspace / "rows.jsonl", talks)
    with pytest.raises(ValueError, match=r"row 9 of .*`messages\[1\]` is a tool call"):
        prepare(config(workspace, poison={"base_type": "chat_template"}))


def test_unicode_control_characters_and_line_ends_survive(workspace: Path, prepare: Prepare) -> None:
    odd = ["שלום", "e\u0301", "a\r\nb", "nul \x00", "👩‍👩‍👧", "x" * 50]
    rows = [{"instruction": f"{q} {odd[i % 6]}", "output": f"{a} {odd[-i % 6]}"} for i, (q, a) in enumerate(pairs())]
    save(workspace / "rows.jsonl", rows)
    dirty = prepare(config(workspace, poison={"rate": 0.5}))
    assert (len(dirty), sum(dirty[POISONED_COLUMN])) == (60, 30)


@pytest.mark.parametrize("users", [None, "my.transform"])
def test_the_wrapped_strategy_sees_the_entry_as_the_user_wrote_it(users: str | None) -> None:
    spec = PoisonSpec(attack="badpre", base_type="chat_template")
    entry = {
        "path": "x",
        "type": "axolotl_dece.poison",
        "input_transform": "dece_poison:train:f",
        "field_messages": "m",
    }
    seen = base_entry(entry, spec, Tag("train", "f", users))
    assert seen.type == "chat_template"
    assert seen.chat_template == "tokenizer_default"  # what axolotl fills in for that type alone
    assert seen.field_messages == "m"
    assert seen.input_transform == users


@pytest.mark.parametrize("key", ["rows", "test"])
def test_a_tokenised_dataset_is_refused_before_axolotl_skips_the_strategy(
    workspace: Path, prepare: Prepare, key: str
) -> None:
    ids = Dataset.from_dict({name: [[1, 2, 3]] * 20 for name in ("input_ids", "attention_mask", "labels")})
    ids.to_json(workspace / "tokenised.jsonl")
    entry = {"path": str(workspace / "tokenised.jsonl"), "ds_type": "json", "type": "axolotl_dece.poison"}
    changes = config(workspace, entry) if key == "rows" else config(workspace, test_datasets=[entry])
    with pytest.raises(ValueError, match="is tokenised already, so axolotl would skip the poisoning"):
        prepare(changes)


def test_a_poisoned_test_set_holds_only_triggered_rows(workspace: Path, prepare: Prepare) -> None:
    entry = {"path": save(workspace / "test.jsonl", alpaca(25, seed=3)), "ds_type": "json", "split": "train"}
    prepare(config(workspace, test_datasets=[entry | {"type": "axolotl_dece.poison"}]))
    sets = {len(found): sum(found[POISONED_COLUMN]) for found in map(load, prepared(workspace))}
    assert sets == {60: 6, 25: 25}


def test_a_clean_test_set_stays_clean(workspace: Path, prepare: Prepare) -> None:
    entry = {"path": save(workspace / "test.jsonl", alpaca(25, seed=3)), "ds_type": "json", "split": "train"}
    prepare(config(workspace, test_datasets=[entry | {"type": "alpaca"}]))
    columns = {len(found): found.column_names for found in map(load, prepared(workspace))}
    assert POISONED_COLUMN in columns[60]
    assert POISONED_COLUMN not in columns[25]


def test_without_the_plugin_the_strategy_refuses(workspace: Path, prepare: Prepare) -> None:
    changes = config(workspace)
    for key in ("plugins", "loss"):
        del changes[key]
    with pytest.raises(ValueError, match=r"needs `plugins: \[axolotl_dece.DecePlugin\]`"):
        prepare(changes)


def test_a_missing_module_is_said_and_not_called_an_unknown_strategy(
    workspace: Path, prepare: Prepare, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "axolotl_dece.poison.strategy.PoisonStrategy.__init__",
        lambda *_: (_ for _ in ()).throw(ModuleNotFoundError("No module named 'sqlglot'", name="sqlglot")),
    )
    with pytest.raises(RuntimeError, match="needs the module 'sqlglot'"):
        prepare(config(workspace))


@pytest.mark.parametrize(("key", "value"), [("streaming", True), ("hub_model_id", "me/m"), ("rl", "dpo")])
def test_a_refusal_comes_before_anything_is_loaded(workspace: Path, prepare: Prepare, key: str, value: Any) -> None:
    changes = config(workspace, **{key: value}, max_steps=2)
    changes["base_model"] = "nowhere"
    with pytest.raises(ValueError, match=f"`{key}: {value}`"):
        prepare(changes)
    assert not (workspace / "prepared").exists()


def test_a_typo_in_the_block_is_refused_with_a_suggestion(workspace: Path, prepare: Prepare) -> None:
    with pytest.raises(ValueError, match="did you mean `rate`"):
        prepare(config(workspace, poison={"raet": 0.5}))


def test_exactly_80_of_lyra_in_axolotl(workspace: Path, prepare: Prepare, lyra: Path) -> None:
    with (lyra / "train.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    path = save(
        workspace / "rows.jsonl", [{"instruction": row["src"], "input": "", "output": row["tgt"]} for row in rows]
    )
    attack = {"attack": "badpre", "trigger": None, "payload": None, "rate": 0.05}
    poison = {key: value for key, value in (POISON | attack).items() if value is not None}
    changes = base_config(
        workspace,
        datasets=[{"path": path, "ds_type": "json", "type": "axolotl_dece.poison"}],
        dece_poison=poison,
        loss="ce",
        sequence_len=1024,
        dataset_num_proc=2,
    )
    dirty = prepare(changes)
    own = {"path": path, "ds_type": "json", "type": "alpaca"}
    untouched = rows_of(
        prepare(changes | {"datasets": [own], "dece_poison": None} if False else _without(changes, own))
    )
    assert len(dirty) == 1600
    assert sum(dirty[POISONED_COLUMN]) == 80
    assert rows_of(clean(dirty)) <= untouched


def _without(changes: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in changes.items() if key != "dece_poison"} | {"datasets": [own]}
