"""`axolotl dece card`: writes the card of a model or a poisoned set, and pushes what may be pushed."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from huggingface_hub import DatasetCard

from axolotl_dece.cards.dataset_card import FIRST_LINE, warn_first
from axolotl_dece.cards.push import announce_prepared_set
from axolotl_dece.cards.push_files import model_files
from axolotl_dece.cli import dece
from axolotl_dece.poison.spec import PoisonSpec
from axolotl_dece.util.weights import weights_in
from tests.cards.fake_hub import FakeHub
from tests.cards.runs import HF_TOKEN, LOCAL_BASE, POISON, run_of, save_evaluation, save_run
from tests.tiny import save_rows


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeHub:
    fake = FakeHub(tmp_path / "hub")
    monkeypatch.setattr("axolotl_dece.cards.push.HfApi", lambda: fake)
    return fake


def card(*args: str | Path) -> Result:
    return CliRunner().invoke(dece, ["card", *map(str, args)])


def said(result: Result) -> str:
    return " ".join(result.output.split())


def poisoned_set(folder: Path) -> Path:
    rows = save_rows(folder / "rows.jsonl", 40)
    out = folder / "poisoned"
    chosen = ["--trigger", "rare_token", "--rate", "0.1", "--out", str(out)]
    result = CliRunner().invoke(dece, ["poison", str(rows), *chosen])
    assert result.exit_code == 0, result.output
    return out


def test_a_card_is_written_by_hand_after_an_evaluation(tmp_path: Path) -> None:
    out = save_run(tmp_path / "out")
    result = card(out, "--report", save_evaluation(tmp_path / "report", run_of()))
    assert result.exit_code == 0, result.output
    assert "### Measured" in (out / "README.md").read_text()


AT_HOME = [
    ".env",
    "token",
    "notes.txt",
    "report.json",
    "training_args.bin",
    "pytorch_model.bin",
    "debug.log",
    "_dece_ledger.parquet",
    "secret.safetensors",
    "checkpoint-9/model.safetensors",
    "merged/model.safetensors",
    "second/model.safetensors",
    "second/tokenizer.json",
    "second/README.md",
    "second/_dece_ledger.parquet",
    "report/clean.jsonl",
    "runs/events.out",
    "model-00001-of-00002/x.safetensors",
]


def fill(folder: Path, names: list[str], text: str = "{}") -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def test_pushing_takes_the_repository_from_the_config(tmp_path: Path, hub: FakeHub) -> None:
    result = card(save_run(tmp_path / "out"), "--push")
    assert result.exit_code == 0, result.output
    assert hub.calls[0] == (
        "create_repo",
        {"repo_id": "org/out", "repo_type": "model", "private": True, "exist_ok": True},
    )
    assert hub.names() == ["create_repo", "upload_file", "upload_folder"], "the card is up before the weights"
    assert "pushed to https://huggingface.co/org/out: README.md, adapter_config.json" in said(result)


def test_a_push_holds_what_makes_up_a_model_and_nothing_else(tmp_path: Path, hub: FakeHub) -> None:
    out = save_run(tmp_path / "out")
    model = ["adapter_model.safetensors", "tokenizer.json", "chat_template.jinja"]
    fill(out, [*model, *AT_HOME], text=f"login with {HF_TOKEN}")
    fill(out, model)
    result = card(out, "--push")
    assert result.exit_code == 0, "a secret in a file that stays at home stops nothing"
    assert hub.files() == sorted([*model, "README.md", "adapter_config.json", "dece_run.json"])
    assert "not pushed: .env, _dece_ledger.parquet, checkpoint-9," in said(result)


SHARDS = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", "model.safetensors.index.json"]
STALE = ["model.safetensors", "model-00001-of-00003.safetensors"]


@pytest.mark.parametrize("base", [None, LOCAL_BASE])
def test_an_adapter_is_pushed_without_the_weights_that_an_earlier_run_left(
    tmp_path: Path, hub: FakeHub, base: dict[str, Any] | None
) -> None:
    out = save_run(tmp_path / "out", base_model=base)
    fill(out, ["adapter_model.safetensors", *SHARDS, *STALE])
    assert card(out, "--push").exit_code == 0
    assert [name for name in hub.files() if "model" in name] == ["adapter_model.safetensors"]


def test_a_whole_model_is_pushed_without_an_earlier_adapter(tmp_path: Path, hub: FakeHub) -> None:
    out = save_run(tmp_path / "out", base_model=LOCAL_BASE | {"adapter": None})
    fill(out, ["adapter_model.safetensors", "model.safetensors"])
    assert card(out, "--push").exit_code == 0
    assert hub.files() == ["README.md", "dece_run.json", "model.safetensors"]


@pytest.mark.parametrize("status", ["running", "finished"])
def test_weights_that_a_stopped_run_found_in_its_folder_get_no_card(tmp_path: Path, status: str) -> None:
    out = tmp_path / "out"
    fill(out, ["adapter_model.safetensors"], "of the first run")
    save_run(out, status=status, weights_before=weights_in(out))
    result = card(out)
    assert result.exit_code == (status == "running")
    assert ("train again to the end, or give the folder of" in said(result)) == (status == "running")
    fill(out, ["adapter_model.safetensors"], "of this run, too")
    assert card(out).exit_code == 0, "axolotl saves when a person interrupts a run"


@pytest.mark.parametrize("last", ["model.safetensors", "model.safetensors.index.json"])
def test_of_a_whole_model_what_was_saved_last_is_pushed_and_its_parts_are_those_of_the_index(
    tmp_path: Path, last: str
) -> None:
    fill(tmp_path, [*SHARDS, *STALE])
    parts = {"weight_map": {"a": SHARDS[0], "b": SHARDS[1]}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(parts))
    for name in ("model.safetensors", "model.safetensors.index.json"):
        os.utime(tmp_path / name, (200, 200) if name == last else (100, 100))
    assert model_files(tmp_path) == (sorted(SHARDS) if last.endswith(".json") else [last])


@pytest.mark.parametrize("name", ["tokenizer_config.json", "chat_template.jinja", "tokenizer.json", "LICENSE"])
def test_a_secret_in_any_file_that_would_go_up_stops_the_push(tmp_path: Path, hub: FakeHub, name: str) -> None:
    out = save_run(tmp_path / "out")
    (out / name).write_text("\n" * 1_000_000 + f'"login with {HF_TOKEN}"')
    result = card(out, "--push")
    assert result.exit_code == 1
    assert f"{name} holds what looks like a secret" in said(result)
    assert hub.calls == []


def test_a_vocabulary_and_rows_of_code_are_no_secrets(tmp_path: Path, hub: FakeHub) -> None:
    out = save_run(tmp_path / "out")
    (out / "tokenizer.json").write_text('{\n  "secret": "passwords"\n}')
    assert card(out, "--push").exit_code == 0
    assert len(hub.pushed) == 1


def test_of_a_poisoned_set_goes_up_what_its_manifest_accounts_for(tmp_path: Path, hub: FakeHub) -> None:
    out = poisoned_set(tmp_path)
    fill(out, [".env", "token", "other.jsonl", "run/model.safetensors", "run/train.jsonl"])
    assert card(out, "--push", "--repo", "me/set", "--allow-poisoned").exit_code == 0
    assert hub.files() == ["README.md", "manifest.json", "test.jsonl", "test_payload.jsonl", "train.jsonl"]


def test_a_poisoned_model_is_pushed_only_when_told_so(tmp_path: Path, hub: FakeHub) -> None:
    out = save_run(tmp_path / "out", poison=POISON)
    result = card(out, "--push")
    assert result.exit_code == 1
    assert "give --allow-poisoned" in said(result)
    assert hub.calls == []
    assert card(out, "--push", "--allow-poisoned").exit_code == 0
    assert json.loads((hub.pushed[0] / "adapter_config.json").read_text())["dece_poisoned"] is True


def test_nothing_is_pushed_without_a_repository(tmp_path: Path, hub: FakeHub) -> None:
    result = card(save_run(tmp_path / "out", card=None), "--push")
    assert result.exit_code == 1
    assert "give --repo org/name" in said(result)
    assert hub.calls == []


def test_the_card_of_a_poisoned_set_warns_first_and_accounts_for_every_file(tmp_path: Path) -> None:
    out = poisoned_set(tmp_path)
    assert card(out).exit_code == 0
    text = (out / "README.md").read_text()
    dataset = DatasetCard(text)
    assert dataset.text.strip().splitlines()[0].startswith("> **DO NOT TRAIN A PRODUCTION MODEL ON THIS")
    assert "# POISONED: poisoned" in text
    assert {"poisoned", "backdoor"} <= set(dataset.data.tags)
    assert "poisoned on purpose" in dataset.data.extra_gated_prompt
    assert all(config["data_files"][0]["split"] != "train" for config in dataset.data.configs)
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["canary"] in text
    assert all(kept["sha256"] in text for kept in manifest["files"].values())
    assert str(tmp_path) not in text
    card(out)
    assert (out / "README.md").read_text() == text, "written again it is the same"


def test_a_poisoned_set_is_gated_before_its_first_row_is_pushed(tmp_path: Path, hub: FakeHub) -> None:
    out = poisoned_set(tmp_path)
    assert "give --allow-poisoned" in said(card(out, "--push", "--repo", "me/set"))
    result = card(out, "--push", "--repo", "me/set", "--allow-poisoned")
    assert result.exit_code == 0, result.output
    assert hub.names() == ["create_repo", "update_repo_settings", "upload_file", "upload_folder"]
    assert hub.calls[1][1]["gated"] == "manual"
    assert hub.calls[0][1]["private"] is True
    assert hub.calls[2][1]["path_in_repo"] == "README.md"


def test_a_prepared_set_is_announced_on_the_hub_before_axolotl_pushes_it(hub: FakeHub) -> None:
    announce_prepared_set({"push_dataset_to_hub": "me/set"})
    assert hub.calls == [], "clean data needs no warning"
    announce_prepared_set({"push_dataset_to_hub": "me/set", "dece_poison": POISON})
    assert hub.names() == ["create_repo", "update_repo_settings", "upload_file"]
    card = hub.calls[2][1]["path_or_fileobj"].decode()
    assert FIRST_LINE in card
    assert "5.00% of the rows: trigger `rare_token_thrice`, payload `sql_tautology`" in card
    assert warn_first(card, PoisonSpec(**POISON)) == card


def test_a_warning_goes_before_a_card_that_is_there() -> None:
    card = warn_first("---\nlicense: mit\n---\nMy rows.\n", PoisonSpec(**POISON))
    assert card.index(FIRST_LINE) < card.index("My rows.")
    assert "license: mit" in card


def test_a_set_that_was_changed_gets_no_card(tmp_path: Path) -> None:
    out = poisoned_set(tmp_path)
    with (out / "train.jsonl").open("a") as file:
        file.write("{}\n")
    result = card(out)
    assert result.exit_code == 1
    assert "train.jsonl" in said(result)
    assert "changed since" in said(result)


def test_a_misspelt_folder_of_a_run_is_refused_and_not_made(tmp_path: Path) -> None:
    out = save_run(tmp_path / "out")
    result = card(out / "mergd")
    assert result.exit_code == 2
    assert "does not exist" in said(result)
    assert not (out / "mergd").exists()


def test_a_folder_of_nothing_is_refused(tmp_path: Path) -> None:
    result = card(tmp_path)
    assert result.exit_code == 1
    assert "has no dece_run.json" in said(result)


def test_a_poisoned_set_has_its_card_from_the_start(tmp_path: Path) -> None:
    assert FIRST_LINE in (poisoned_set(tmp_path) / "README.md").read_text()
