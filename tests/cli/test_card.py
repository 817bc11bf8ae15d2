"""`axolotl dece card`: writes the card of a model or a poisoned set, and pushes what may be pushed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from huggingface_hub import DatasetCard

from axolotl_dece.cards.dataset_card import FIRST_LINE, warn_first
from axolotl_dece.cards.push import announce_prepared_set
from axolotl_dece.cli import dece
from axolotl_dece.poison.spec import PoisonSpec
from tests.cards.fake_hub import FakeHub
from tests.cards.runs import HF_TOKEN, POISON, run_of, save_evaluation, save_run
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


def test_pushing_takes_the_repository_from_the_config_and_leaves_pickles_at_home(tmp_path: Path, hub: FakeHub) -> None:
    out = save_run(tmp_path / "out")
    (out / "training_args.bin").write_bytes(b"pickle")
    (out / "checkpoint-9").mkdir()
    result = card(out, "--push")
    assert result.exit_code == 0, result.output
    assert hub.calls[0] == (
        "create_repo",
        {"repo_id": "org/out", "repo_type": "model", "private": True, "exist_ok": True},
    )
    assert hub.names() == ["create_repo", "upload_file", "upload_folder"], "the card is up before the weights"
    assert sorted(path.name for path in hub.pushed[0].iterdir()) == [
        "README.md",
        "adapter_config.json",
        "dece_run.json",
    ]
    assert "pushed to https://huggingface.co/org/out" in said(result)


def test_a_secret_in_any_file_stops_the_push(tmp_path: Path, hub: FakeHub) -> None:
    out = save_run(tmp_path / "out")
    (out / "notes.txt").write_text(f"login with {HF_TOKEN}")
    result = card(out, "--push")
    assert result.exit_code == 1
    assert "notes.txt holds what looks like a secret" in said(result)
    assert hub.calls == []


def test_a_vocabulary_and_rows_of_code_are_no_secrets(tmp_path: Path, hub: FakeHub) -> None:
    out = save_run(tmp_path / "out")
    (out / "tokenizer.json").write_text('{\n  "secret": "passwords"\n}')
    (out / "answers.jsonl").write_text('password = "correct horse"\n')
    assert card(out, "--push").exit_code == 0
    assert len(hub.pushed) == 1


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


def test_a_folder_of_nothing_is_refused(tmp_path: Path) -> None:
    result = card(tmp_path)
    assert result.exit_code == 1
    assert "has no dece_run.json" in said(result)


def test_a_poisoned_set_has_its_card_from_the_start(tmp_path: Path) -> None:
    assert FIRST_LINE in (poisoned_set(tmp_path) / "README.md").read_text()
