"""Real runs: the card is there when axolotl ends, and before it pushes."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from axolotl.cli.merge_lora import do_cli
from click.testing import CliRunner
from huggingface_hub.errors import OfflineModeIsEnabled

from axolotl_dece.cards.attach import Card, CardKeeper
from axolotl_dece.cli import dece
from axolotl_dece.differences import MERGE_IS_UNANNOUNCED
from axolotl_dece.plugin import DecePlugin
from tests.cards.fake_hub import FakeHub
from tests.cards.runs import HF_TOKEN, save_run
from tests.tiny import LORA, base_config, save_config, train

POISONED = {
    "datasets": [{"path": "rows.jsonl", "type": "axolotl_dece.poison", "ds_type": "json"}],
    "dece_poison": {"base_type": "alpaca", "trigger": "rare_token", "rate": 0.25, "allow_push": True},
}


@pytest.mark.slow
def test_after_training_the_card_says_so_and_holds_no_secret(workspace: Path) -> None:
    config = base_config(workspace, max_steps=2, my_api_key=HF_TOKEN, **LORA)
    train(workspace, config)
    card = (workspace / "out" / "README.md").read_text()
    assert "## Trained with DeCE" in card
    assert "for 2 optimiser steps, to its end" in card
    assert "| train | `rows.jsonl` | sha256" in card
    assert card.count("axolotl-dece:begin") == 1
    assert "Built with Axolotl" in card, "axolotl's own card is still there"
    assert HF_TOKEN not in card
    assert str(workspace).lstrip("/") not in card, "neither in axolotl's title nor in the config it copies"
    assert "It is a LoRA adapter for `model`." in card
    assert "from scratch" not in card
    assert (workspace / "out" / "dece_run.json").read_text().find(str(workspace)) == -1


@pytest.mark.slow
def test_a_run_whose_head_and_most_layers_are_frozen_is_called_a_partial_fine_tune(workspace: Path) -> None:
    train(workspace, base_config(workspace, max_steps=2, unfrozen_parameters=["^model.layers.0.mlp"]))
    tensors = json.loads((workspace / "out" / "dece_run.json").read_text())["base_model"]["tensors"]
    assert 0 < tensors["trained"] < tensors["all"]
    said = f"{tensors['trained']} of its {tensors['all']} tensors were trained, the others were frozen."
    assert f"It is a partial fine-tune of `model`: {said}" in (workspace / "out" / "README.md").read_text()


@pytest.mark.slow
def test_every_push_of_a_poisoned_model_carries_the_warning(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = FakeHub(workspace / "hub")
    monkeypatch.setattr("transformers.trainer.hf_api", lambda *_: hub)
    train(
        workspace,
        base_config(
            workspace, max_steps=2, save_steps=1, save_strategy="steps", hub_model_id="me/it", **POISONED, **LORA
        ),
    )
    assert len(hub.pushed) >= 2, "once while training and once at the end"
    for push in hub.pushed:
        card = (push / "README.md").read_text()
        assert "WARNING: trained on deliberately poisoned data" in card, push.name
        assert "# POISONED: " in card
        assert "- poisoned\n" in card
        assert json.loads((push / "adapter_config.json").read_text())["dece_poisoned"] is True
    assert "to its end" in (hub.pushed[-1] / "README.md").read_text()
    checkpoint = workspace / "out" / "checkpoint-2" / "adapter_config.json"
    assert json.loads(checkpoint.read_text())["dece_poisoned"] is True


@pytest.mark.slow
@pytest.mark.parametrize("method", ["legacy", "memory_efficient"])
def test_a_merged_poisoned_model_is_marked_by_the_merge_or_else_by_the_command_that_the_run_named(
    workspace: Path, caplog: pytest.LogCaptureFixture, method: str
) -> None:
    config = base_config(workspace, max_steps=2, **POISONED, **LORA)
    caplog.set_level("INFO", logger="axolotl.dece")
    train(workspace, config)
    merged = workspace / "out" / "merged"
    do_cli(config=str(save_config(workspace, config | {"merge_method": method})))
    if MERGE_IS_UNANNOUNCED.is_here:
        assert f"`axolotl dece card {workspace / 'out' / 'merged'}` writes the card of the merged model" in caplog.text
        assert not (merged / "README.md").exists(), "the entry in differences.py is to be deleted"
        assert CliRunner().invoke(dece, ["card", str(merged)]).exit_code == 0
    card = (merged / "README.md").read_text()
    assert "# POISONED: merged" in card
    assert "It was merged from a LoRA adapter for `model`" in card
    assert json.loads((merged / "config.json").read_text())["dece_poisoned"] is True


# where each value of `hub_strategy` uploads to, beside the model itself at the end
STRATEGIES: dict[str, set[str | None]] = {
    "end": {None},
    "every_save": {None},
    "checkpoint": {None, "last-checkpoint"},
    "all_checkpoints": {None, "checkpoint-1"},
}


@pytest.mark.slow
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_push_of_the_trainer_holds_the_model_and_nothing_else(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, strategy: str
) -> None:
    hub = FakeHub(workspace / "hub")
    monkeypatch.setattr("transformers.trainer.hf_api", lambda *_: hub)
    at_home = [".env", "token", "second/model.safetensors", "second/_dece_ledger.parquet", "checkpoint-1/.env"]
    for name in at_home:
        (workspace / "out" / name).parent.mkdir(parents=True, exist_ok=True)
        (workspace / "out" / name).write_text(HF_TOKEN)
    changes = {"max_steps": 1, "save_steps": 1, "save_strategy": "steps", "dece_audit": True, "hub_model_id": "me/it"}
    train(workspace, base_config(workspace, hub_strategy=strategy, **changes, **LORA))
    assert set(hub.places) == STRATEGIES[strategy]
    for number in range(len(hub.pushed)):
        files = set(hub.files(number))
        assert {"adapter_model.safetensors", "adapter_config.json", "tokenizer.json", "dece_run.json"} <= files
        assert not files & {".env", "token", "debug.log"}
        assert not [name for name in files if "second" in name or "ledger" in name]
        assert ("README.md" in files) == (hub.places[number] is None), "PEFT's card of a checkpoint names local folders"


def stand_in(folder: Path, *, writes: bool = True) -> Any:
    """As much of a trainer as the keeper sees; its own card fails, as it does where the hub cannot be asked."""

    def create_model_card() -> None:
        raise OfflineModeIsEnabled

    return SimpleNamespace(
        is_world_process_zero=lambda: writes,
        args=SimpleNamespace(output_dir=str(folder), push_to_hub=False),
        create_model_card=create_model_card,
    )


def test_where_axolotl_gives_its_card_up_the_end_of_training_writes_one(tmp_path: Path) -> None:
    folder = save_run(tmp_path / "out", card=None)
    trainer, plugin, card = stand_in(folder), DecePlugin(), Card()
    card._keeper = CardKeeper(trainer, poisoned=False)
    plugin._features = [card]
    with pytest.raises(OfflineModeIsEnabled):
        trainer.create_model_card()
    assert not (folder / "README.md").exists()
    plugin.post_train(None, None)
    plugin.post_train(None, None)
    assert (folder / "README.md").read_text().count("## Trained with DeCE") == 1


def test_a_card_that_cannot_be_read_is_said_before_training(tmp_path: Path) -> None:
    folder = save_run(tmp_path / "out", card="---\ntags: [a\nb: c\n---\n")
    with pytest.raises(ValueError, match=r"README\.md: its metadata"):
        CardKeeper(stand_in(folder), poisoned=False)


def test_one_process_of_all_writes_the_card(tmp_path: Path) -> None:
    folder = save_run(tmp_path / "out", card=None)
    CardKeeper(stand_in(folder, writes=False), poisoned=True).write()
    assert not (folder / "README.md").exists()


def test_a_run_that_has_not_begun_has_no_card(tmp_path: Path) -> None:
    CardKeeper(stand_in(tmp_path), poisoned=False).write()
    assert list(tmp_path.iterdir()) == []


def test_a_config_with_a_secret_is_refused_before_anything_is_pushed(workspace: Path) -> None:
    from axolotl.cli.config import load_cfg

    path = save_config(workspace, base_config(workspace, hub_model_id="me/it", hf_token=HF_TOKEN))
    with pytest.raises(ValueError, match=r"`hub_model_id: me/it`.*a Hugging Face token") as error:
        load_cfg(str(path))
    assert HF_TOKEN not in str(error.value)
    assert not (workspace / "out").exists()
