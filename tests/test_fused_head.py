"""`dece_fused_head` in real runs: the same training with and without logits, and one line that says which."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from axolotl_dece.loss.causal_model import find_causal_model
from axolotl_dece.loss.fused_head import FusedHead
from tests.tiny import LORA, base_config, logs, train

pytestmark = pytest.mark.slow
HEAD = {**LORA, "lora_target_linear": None, "lora_target_modules": ["q_proj", "lm_head"]}
RUNS: dict[str, dict[str, Any]] = {
    "full": {},
    "lora-on-the-head": HEAD,
    "accumulated": {"gradient_accumulation_steps": 3, "micro_batch_size": 1},
    "plain-cross-entropy": {"loss": "ce"},
    "torch_compile": {"torch_compile": True, "torch_compile_backend": "aot_eager"},
}


@pytest.mark.parametrize("changes", RUNS.values(), ids=RUNS)
def test_a_run_is_the_same_with_and_without_the_fused_head(workspace: Path, changes: dict[str, Any]) -> None:
    trainers = {}
    for key in (True, False):
        out = str(workspace / f"fused-{key}")
        # Adam would blow the last digit of a tiny gradient up to a whole step
        plain = {"optimizer": "sgd", "learning_rate": 0.1, "max_steps": 3}
        config = base_config(workspace, **plain, dece_fused_head=key, output_dir=out, **changes)
        trainers[key] = train(workspace, config)
    fused, on_logits = (find_causal_model(trainers[key].model).loss_function for key in (True, False))
    assert isinstance(fused, FusedHead)
    assert fused.passes == 3 * trainers[True].args.gradient_accumulation_steps
    assert not isinstance(on_logits, FusedHead)
    for curve in ("loss", "grad_norm", "dece/ce", "dece/held_back"):
        assert logs(trainers[True], curve) == pytest.approx(logs(trainers[False], curve), rel=1e-4, abs=1e-6), curve
    for mine, theirs in zip(trainers[True].model.parameters(), trainers[False].model.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-6)
