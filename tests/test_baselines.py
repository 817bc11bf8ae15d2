"""Real axolotl runs of DeCE's rivals: the same path, the same normaliser, the same records, under their own names."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM

from tests.loss.test_rivals import Oracle, entropy_adaptive, gce, in_trust, relative, smoothed, thresholded
from tests.tiny import LORA, base_config, logs, save_rows, train

pytestmark = pytest.mark.slow

RIVALS: dict[str, tuple[dict[str, Any], Oracle]] = {
    "label_smoothing": ({"dece_label_smoothing": 0.1}, smoothed(0.1)),
    "gce": ({"dece_gce_q": 0.7}, gce(0.7)),
    "in_trust": (
        {"dece_in_trust_alpha": 0.5, "dece_in_trust_beta": 0.6, "dece_in_trust_delta": 0.3},
        in_trust(0.5, 0.6, 0.3),
    ),
    "threshold": ({"dece_threshold": 0.005}, thresholded(0.005)),
    "eaft": ({}, entropy_adaptive(20)),
}
EACH = pytest.mark.parametrize("loss", RIVALS)
ONE_STEP = {"optimizer": "sgd", "learning_rate": 1.0, "max_grad_norm": 0.0, "max_steps": 1}
REMEMBER = {"plugins": ["axolotl_dece.DecePlugin", "tests.plugins.RememberStart"]}


def rival(workspace: Path, loss: str, **changes: Any) -> dict[str, Any]:
    return base_config(workspace, loss=loss, **RIVALS[loss][0] | changes)


def weights_by_hand(workspace: Path, oracle: Oracle, rows: list[dict[str, Any]]) -> tuple[float, dict[str, Tensor]]:
    """(loss, weights after one step of SGD): the mean of `oracle` over all target tokens of `rows`, in fp64."""
    model = AutoModelForCausalLM.from_pretrained(workspace / "model", dtype=torch.float64)
    losses = []
    for row in rows:
        logits = model(input_ids=torch.tensor([row["input_ids"]])).logits[0, :-1]
        target = torch.tensor(row["labels"])[1:]
        losses.append(oracle(logits[target != -100], target[target != -100]))
    mean = torch.cat(losses).mean()
    mean.backward()
    torch.optim.SGD(model.parameters(), lr=1.0).step()
    return mean.item(), {name: p.detach() for name, p in model.named_parameters()}


@EACH
@pytest.mark.parametrize(("fused", "accumulation"), [(True, 4), (False, 2)], ids=["fused head", "logits"])
def test_one_step_is_the_formulas_step(workspace: Path, loss: str, fused: bool, accumulation: int) -> None:
    save_rows(workspace / "rows.jsonl", count=4)
    split = {"micro_batch_size": 4 // accumulation, "gradient_accumulation_steps": accumulation}
    trainer = train(workspace, rival(workspace, loss, dece_fused_head=fused, **split | ONE_STEP | REMEMBER))
    value, expected = weights_by_hand(workspace, RIVALS[loss][1], list(trainer.train_dataset))
    assert logs(trainer, "loss")[0] == pytest.approx(value, rel=1e-5)
    pairs = [(w.detach(), expected[name], trainer.started[name]) for name, w in trainer.model.named_parameters()]
    moved = torch.cat([(found - start).flatten() for found, _, start in pairs])
    should = torch.cat([(wanted - start).flatten() for _, wanted, start in pairs])
    assert relative(moved, should) < 1e-5


@EACH
def test_a_run_learns_shows_its_curves_and_leaves_its_proof(workspace: Path, loss: str) -> None:
    trainer = train(workspace, rival(workspace, loss, num_epochs=2, dece_alpha_final=0.7, **LORA))
    ce, held_back = logs(trainer, "dece/ce"), logs(trainer, "dece/held_back")
    assert len(ce) == trainer.state.global_step
    assert sum(ce[-4:]) < sum(ce[:4])
    assert all(0.0 <= share < 1.0 for share in held_back)
    assert logs(trainer, "dece/alpha") == []
    run = json.loads((workspace / "out" / "dece_run.json").read_text())
    assert (run["status"], run["loss"], run["alpha"]) == ("finished", loss, {"planned": [], "last": None})
    assert run["parameters"] == RIVALS[loss][0], "what the loss reads, and nothing else"


def test_resuming_is_refused_under_another_q_and_allowed_under_another_alpha(workspace: Path) -> None:
    train(workspace, rival(workspace, "gce", save_strategy="steps", save_steps=4, max_steps=4))
    again = {"max_steps": 6, "resume_from_checkpoint": str(workspace / "out" / "checkpoint-4")}
    with pytest.raises(ValueError, match=r"trained with parameters \{'dece_gce_q': 0\.7\}.*0\.6"):
        train(workspace, rival(workspace, "gce", **again | {"dece_gce_q": 0.6}))
    assert train(workspace, rival(workspace, "gce", dece_alpha_final=0.5, **again)).state.global_step == 6


def test_evaluation_stays_plain_cross_entropy(workspace: Path) -> None:
    """At learning rate 0 the weights stay, so both must print the same number."""
    still = {"learning_rate": 0.0, "val_set_size": 8, "eval_strategy": "steps", "eval_steps": 2, "max_steps": 2}
    mine = train(workspace, rival(workspace, "gce", **still))
    plain = train(workspace, base_config(workspace, loss="ce", **still))
    assert logs(mine, "eval_loss") == logs(plain, "eval_loss")
    assert logs(mine, "loss") != logs(plain, "loss")


@pytest.mark.parametrize("loss", ["label_smoothing", "in_trust"])
@pytest.mark.parametrize("key", ["dece_audit", "dece_decisions"])
def test_a_loss_that_holds_nothing_back_is_neither_audited_nor_decided(workspace: Path, loss: str, key: str) -> None:
    (workspace / "decisions.jsonl").write_text('{"row": "0123456789abcdef", "decision": "drop"}\n')
    value = True if key == "dece_audit" else "decisions.jsonl"
    with pytest.raises(ValueError, match=f"`{key}: {value}` with `loss: {loss}`"):
        train(workspace, rival(workspace, loss, **{key: value}))
    assert not (workspace / "out").exists()
