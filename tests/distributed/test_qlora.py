"""QLoRA in the ways people run it: every one trains, and the fused head leaves the adapter of the logits path."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests.tiny import LORA, base_config, logs, train

pytestmark = pytest.mark.slow

QLORA = LORA | {"adapter": "qlora", "load_in_4bit": True, "max_steps": 4, "num_epochs": None, "dece_alpha_final": 0.8}
WAYS: dict[str, dict[str, Any]] = {
    "all linear layers, paged 8-bit AdamW, gradient checkpointing": {
        "optimizer": "paged_adamw_8bit",
        "gradient_checkpointing": True,
    },
    "LoRA on lm_head, 8-bit AdamW": {
        "lora_target_linear": False,
        "lora_target_modules": ["q_proj", "v_proj", "lm_head"],
        "optimizer": "adamw_bnb_8bit",
    },
    "lm_head and embeddings in modules_to_save, paged AdamW, accumulation": {
        "lora_modules_to_save": ["lm_head", "embed_tokens"],
        "optimizer": "paged_adamw_32bit",
        "gradient_accumulation_steps": 2,
    },
}


def adapter(workspace: Path, way: str, fused: bool) -> tuple[dict[str, torch.Tensor], Any]:
    out = workspace / f"out-{fused}"
    trainer = train(workspace, base_config(workspace, output_dir=str(out), dece_fused_head=fused, **QLORA | WAYS[way]))
    return load_file(out / "adapter_model.safetensors"), trainer


@pytest.mark.parametrize("way", WAYS)
def test_qlora_trains_and_the_fused_head_leaves_the_same_adapter(workspace: Path, way: str) -> None:
    plain, trainer = adapter(workspace, way, fused=False)
    quantised = [p for p in trainer.model.parameters() if type(p).__name__ == "Params4bit"]
    assert quantised
    assert all(p.quant_state.quant_type == "nf4" and p.quant_state.nested for p in quantised)
    fused, twin = adapter(workspace, way, fused=True)
    assert logs(twin, "loss") == pytest.approx(logs(trainer, "loss"), rel=1e-4)
    assert logs(trainer, "loss")[-1] < logs(trainer, "loss")[0]
    assert all(weight.norm() > 0 for name, weight in plain.items() if "lora_B" in name), "they begin at 0"
    assert fused.keys() == plain.keys()
    for name, want in plain.items():
        assert (fused[name] - want).norm() <= 1e-2 * want.norm(), name
