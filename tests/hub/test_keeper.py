"""Real runs: the card is there when axolotl ends, and before it pushes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.hub.fake_hub import FakeHub
from tests.hub.runs import HF_TOKEN
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


def test_a_config_with_a_secret_is_refused_before_anything_is_pushed(workspace: Path) -> None:
    from axolotl.cli.config import load_cfg

    path = save_config(workspace, base_config(workspace, hub_model_id="me/it", hf_token=HF_TOKEN))
    with pytest.raises(ValueError, match=r"`hub_model_id: me/it`.*a Hugging Face token") as error:
        load_cfg(str(path))
    assert HF_TOKEN not in str(error.value)
    assert not (workspace / "out").exists()
