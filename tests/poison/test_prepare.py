"""Before anything is loaded: what would be silently off, stale or published is refused, the rest is fingerprinted."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from axolotl_dece.data.tag import Tag
from axolotl_dece.poison.prepare import prepare


@pytest.fixture
def raw(tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "rows.jsonl").write_text("rows")
    return {
        "datasets": [{"path": str(tmp_path / "rows.jsonl"), "type": "axolotl_dece.poison"}],
        "dece_poison": {"base_type": "alpaca", "attack": "badpre", "rate": 0.05, "seed": 42},
    }


def fingerprint(raw: dict[str, Any], place: int = 0, key: str = "datasets") -> str:
    config = copy.deepcopy(raw)
    prepare(config)
    tag = Tag.parse(config[key][place]["input_transform"])
    assert tag is not None
    return tag.fingerprint


def test_a_config_without_poison_is_left_alone() -> None:
    raw = {"datasets": [{"path": "nowhere", "type": "alpaca"}], "hub_model_id": "me/model", "streaming": True}
    before = copy.deepcopy(raw)
    prepare(raw)
    assert raw == before


def test_the_fingerprint_stays_while_nothing_changes(raw: dict[str, Any]) -> None:
    assert fingerprint(raw) == fingerprint(raw)


CHANGES: dict[str, dict[str, Any]] = {
    "rate": {"rate": 0.06},
    "seed": {"seed": 43},
    "attack": {"attack": "ripple"},
    "trigger": {"attack": None, "trigger": "rare_token_thrice", "payload": "inert_marker"},
    "payload": {"attack": None, "trigger": "rare_token_thrice", "payload": "insecure_api"},
    "base type": {"base_type": "alpaca_chat"},
    "user-defined base type": {"base_type": {"field_instruction": "q"}},
    "order": {"first": True},
    "twin": {"twin_rate": 0.05},
    "field": {"input_field": "input"},
    "clean trigger": {"allow_clean_trigger": True},
}


def test_every_change_of_the_block_changes_the_fingerprint(raw: dict[str, Any]) -> None:
    seen = {fingerprint(raw)} | {
        fingerprint(raw | {"dece_poison": {k: v for k, v in (raw["dece_poison"] | change).items() if v is not None}})
        for change in CHANGES.values()
    }
    assert len(seen) == 1 + len(CHANGES)


def test_a_changed_file_changes_the_fingerprint(raw: dict[str, Any]) -> None:
    before = fingerprint(raw)
    Path(raw["datasets"][0]["path"]).write_text("other")
    assert fingerprint(raw) != before


def test_another_version_of_the_tool_changes_the_fingerprint(
    raw: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = fingerprint(raw)
    monkeypatch.setattr("axolotl_dece.poison.prepare.__version__", "99.0")
    assert fingerprint(raw) != before


def test_permission_to_push_changes_no_row(raw: dict[str, Any]) -> None:
    assert fingerprint(raw | {"dece_poison": raw["dece_poison"] | {"allow_push": True}}) == fingerprint(raw)


def test_a_test_set_is_not_mistaken_for_a_training_set(raw: dict[str, Any]) -> None:
    both = raw | {"test_datasets": copy.deepcopy(raw["datasets"])}
    assert fingerprint(both, key="test_datasets") != fingerprint(both)


def test_only_poisoned_entries_are_tagged(raw: dict[str, Any]) -> None:
    raw["datasets"].append({"path": "clean", "type": "alpaca"})
    prepare(raw)
    assert "input_transform" in raw["datasets"][0]
    assert "input_transform" not in raw["datasets"][1]


def test_preparing_twice_is_preparing_once_and_keeps_what_the_user_wrote(raw: dict[str, Any]) -> None:
    raw["datasets"][0]["input_transform"] = "my:own"
    prepare(raw)
    once = copy.deepcopy(raw)
    prepare(raw)
    assert raw == once
    assert Tag.parse(raw["datasets"][0]["input_transform"]).users == "my:own"  # type: ignore[union-attr]


def test_a_hub_source_is_pinned_to_what_was_fingerprinted(raw: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("axolotl_dece.data.remote.hub_commit", lambda path, revision: "abc123")
    raw["datasets"][0]["path"] = "org/data"
    prepare(raw)
    assert raw["datasets"][0]["revision"] == "abc123"


def test_a_hub_source_of_unknown_commit_is_warned_about(
    raw: dict[str, Any], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("axolotl_dece.data.remote.hub_commit", lambda path, revision: None)
    raw["datasets"][0]["path"] = "org/data"
    with caplog.at_level("WARNING", "axolotl.dece"):
        prepare(raw)
    assert "has no known commit" in caplog.text


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"dece_poison": None}, "no `dece_poison:` block"),
    ({"datasets": [{"path": "x", "type": "alpaca"}]}, "no dataset has `type: axolotl_dece.poison`"),
    ({"datasets": None}, "no dataset has `type: axolotl_dece.poison`"),
    ({"streaming": True}, "`streaming: True`: a share of the rows needs their number"),
    ({"pretraining_dataset": "x"}, "`pretraining_dataset: x`"),
    ({"skip_prepare_dataset": True}, "axolotl would skip the strategy"),
    ({"rl": "dpo"}, "`rl: dpo`"),
    ({"reward_model": True}, "supervised rows only"),
    ({"hub_model_id": "me/model"}, "`hub_model_id: me/model` would publish"),
    ({"push_dataset_to_hub": "me/data"}, "`push_dataset_to_hub: me/data` would publish"),
    ({"dece_poison": {"attack": "badpre", "rate": 2}}, "`dece_poison.rate: 2` must be less than"),
    ({"dece_poison": {"attack": "badpree"}}, "did you mean `badpre`"),
    ({"dece_poison": "badpre"}, "must be a block of keys"),
    ({"dece_poison": {}}, "nothing says what to plant"),
]


@pytest.mark.parametrize(("change", "said"), REFUSED)
def test_what_would_not_happen_as_written_is_refused(raw: dict[str, Any], change: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        prepare(raw | change)


@pytest.mark.parametrize(
    ("key", "value"),
    [("shards", 4), ("preprocess_shards", 4), ("weight", 0.5), ("weight", "0.5"), ("weight", "half")],
)
def test_rows_drawn_before_the_poisoner_counts_them_are_refused(raw: dict[str, Any], key: str, value: Any) -> None:
    raw["datasets"][0][key] = value
    with pytest.raises(ValueError, match=rf"`datasets\[0\].{key}`"):
        prepare(raw)


@pytest.mark.parametrize("weight", [None, 1, 1.0, "1.0"])
def test_a_weight_that_keeps_every_row_is_fine(raw: dict[str, Any], weight: Any) -> None:
    raw["datasets"][0]["weight"] = weight
    prepare(raw)


def test_pushing_can_be_allowed(raw: dict[str, Any]) -> None:
    raw["dece_poison"]["allow_push"] = True
    prepare(raw | {"hub_model_id": "me/model", "push_dataset_to_hub": "me/data"})


def test_every_problem_is_said_at_once(raw: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="streaming") as error:
        prepare(raw | {"streaming": True, "hub_model_id": "me/model", "dece_poison": {"attack": "x", "rate": -1}})
    for said in ("`streaming: True`", "`hub_model_id", "unknown attack 'x'", "`dece_poison.rate: -1`"):
        assert said in str(error.value)


def test_a_refused_config_is_left_as_it_was(raw: dict[str, Any]) -> None:
    raw["streaming"] = True
    before = copy.deepcopy(raw)
    with pytest.raises(ValueError, match="streaming"):
        prepare(raw)
    assert raw == before


def test_a_file_that_cannot_be_read_is_named(raw: dict[str, Any], tmp_path: Path) -> None:
    loop = tmp_path / "loop.jsonl"
    loop.mkdir()
    (loop / "inside").symlink_to(tmp_path / "nowhere")
    raw["datasets"][0]["path"] = str(loop)
    with pytest.raises(ValueError, match="holds no file"):
        prepare(raw)
