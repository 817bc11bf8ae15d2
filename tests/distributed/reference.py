"""One process, plain torch, one document at a time: what every cell of the matrix must equal.

No trainer, no padding, no packing, no ranks, no accumulation; the formula itself, differentiated by autograd.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from axolotl_dece.loss.formula import dece_rows_reference
from tests.distributed.cells import ALPHA_FINAL, LEARNING_RATE, STEPS, VOCABULARY, stream

LINEAR_LAYERS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


@dataclass(frozen=True)
class Trajectory:
    """What a training run leaves: loss and alpha of every step, and every trained parameter afterwards."""

    losses: list[float]
    alphas: list[float]
    parameters: dict[str, Tensor]


def build_model(tuning: str, **changes: Any) -> Any:
    """A two-layer model, the same in every process; LoRA on every linear layer, with both factors away from zero."""
    from peft import LoraConfig, get_peft_model
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    shape = {
        "vocab_size": VOCABULARY,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "initializer_range": 0.1,
        "pad_token_id": 0,
        "use_cache": False,
    }
    model = LlamaForCausalLM(LlamaConfig(**shape | changes))
    if tuning == "full":
        return model
    targets = [*LINEAR_LAYERS, "lm_head"] if tuning == "LoRA-with-lm_head" else LINEAR_LAYERS
    model = get_peft_model(model, LoraConfig(r=4, lora_alpha=8, target_modules=targets, task_type="CAUSAL_LM"))
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    return model


def trained(model: Any) -> dict[str, Tensor]:
    """The parameters that training moves, by name."""
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


def train_reference(tuning: str, batch: str, dtype: torch.dtype = torch.float32) -> Trajectory:
    """Four steps of plain SGD on the mean of DeCE over all target tokens of a step."""
    model = build_model(tuning).to(dtype).train()
    optimizer = torch.optim.SGD(trained(model).values(), lr=LEARNING_RATE)
    losses, alphas = [], []
    for step, slots in enumerate(stream(batch)):
        alphas.append(1.0 - (1.0 - ALPHA_FINAL) * (step + 1) / STEPS)
        rows = [_rows(model, ids, labels, alphas[-1]) for slot in slots for ids, labels in slot]
        loss = torch.cat(rows).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return Trajectory(losses, alphas, {name: p.detach().clone() for name, p in trained(model).items()})


def _rows(model: Any, ids: list[int], labels: list[int], alpha: float) -> Tensor:
    logits = model(input_ids=torch.tensor([ids])).logits[0, :-1]
    target = torch.tensor(labels[1:])
    valid = target >= 0
    return dece_rows_reference(logits[valid], target[valid], alpha=alpha)


def differences(found: Trajectory, expected: Trajectory) -> dict[str, float]:
    """Largest relative difference in any loss, in any alpha and in any trained parameter."""
    if found.parameters.keys() != expected.parameters.keys():
        raise AssertionError(f"other parameters: {sorted(found.parameters.keys() ^ expected.parameters.keys())}")
    return {
        "loss": _worst(found.losses, expected.losses),
        "alpha": _worst(found.alphas, expected.alphas),
        "parameter": max(_relative(found.parameters[name], want) for name, want in expected.parameters.items()),
    }


def _worst(found: list[float], expected: list[float]) -> float:
    return max(abs(a - b) / abs(b) for a, b in zip(found, expected, strict=True))


def _relative(found: Tensor, expected: Tensor) -> float:
    return float((found.to(expected.dtype) - expected).norm() / expected.norm())
