"""Real runs: the card is there when axolotl ends, and before it pushes."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from huggingface_hub.errors import OfflineModeIsEnabled

from axolotl_dece.cards.attach import CardKeeper
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


def stand_in(folder: Path, *, writes: bool = True) -> Any:
    """As much of a trainer as the keeper sees; its own card fails, as it does where the hub cannot be asked."""

    def create_model_card() -> None:
        raise OfflineModeIsEnabled

    return SimpleNamespace(
        is_world_process_zero=lambda: writes,
        args=SimpleNamespace(output_dir=str(folder)),
        create_model_card=create_model_card,
    )


def test_where_axolotl_gives_its_card_up_the_end_of_training_writes_one(tmp_path: Path) -> None:
    folder = save_run(tmp_path / "out", card=None)
    trainer, plugin = stand_in(folder), DecePlugin()
    plugin._card = CardKeeper(trainer, poisoned=False)
    with pytest.raises(OfflineModeIsEnabled):
        trainer.create_model_card()
    assert not (folder / "README.md").exists()
    plugin.post_train(None, None)
    plugin.post_train(None, None)
    assert (folder / "README.md").read_text().count("## Trained with DeCE") == 1


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
