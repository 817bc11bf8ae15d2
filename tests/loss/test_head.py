"""The fused head trains exactly what the logits path trains: every architecture, adapter and mode is a law of its own."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor, nn

from axolotl_dece.loss.head import FusedHead, find_head
from axolotl_dece.loss.mixture import Mixture
from axolotl_dece.loss.objective import install

VOCAB = 131
SMALL = {
    "vocab_size": VOCAB,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
}
EXPERTS = {"num_local_experts": 4, "num_experts_per_tok": 2, "output_router_logits": True, "router_aux_loss_coef": 0.1}
MODELS: dict[str, dict[str, Any]] = {
    "Llama": {"tie_word_embeddings": False},
    "Llama-tied": {"tie_word_embeddings": True},
    "Qwen2": {"tie_word_embeddings": False},
    "Qwen2-tied": {"tie_word_embeddings": True},
    "Qwen3": {"tie_word_embeddings": False, "head_dim": 4},
    "Qwen3-tied": {"tie_word_embeddings": True, "head_dim": 4},
    "Mistral": {},
    "Gemma2": {"head_dim": 4, "final_logit_softcapping": 0.05, "query_pre_attn_scalar": 4},
    "Granite": {"logits_scaling": 0.3},
    "Cohere": {"logit_scale": 3.0},
    "Phi": {},
    "GPT2": {"n_embd": 16, "n_layer": 2, "n_head": 4, "n_positions": 64},
    "Starcoder2": {},
    "Mixtral": EXPERTS,
    "Qwen3Moe": {
        "num_experts": 4,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 16,
        "output_router_logits": True,
        "router_aux_loss_coef": 0.1,
        "head_dim": 4,
    },
}


def make_model(name: str, **changes: Any) -> Any:
    kind = name.split("-")[0]
    own = MODELS[name]
    shape = {"vocab_size": VOCAB, "pad_token_id": 0} if kind == "GPT2" else SMALL
    config = getattr(transformers, f"{kind}Config")(**(shape | own | changes))
    torch.manual_seed(0)
    model = getattr(transformers, "GPT2LMHeadModel" if kind == "GPT2" else f"{kind}ForCausalLM")(config)
    # dropout would differ between the two models
    return no_dropout(model.train())


def no_dropout(model: nn.Module) -> Any:
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return model


def make_batch() -> dict[str, Tensor]:
    torch.manual_seed(1)
    ids = torch.randint(3, VOCAB, (3, 13))
    labels = ids.clone()
    labels[0, :6] = -100
    labels[1, 5:] = -100
    return {"input_ids": ids, "labels": labels}


def fuse(model: Any, alpha: float | Tensor = 0.9) -> FusedHead:
    """The fused head on `model`, with chunks of five tokens, ready for a step."""
    objective = install(model, Mixture(alpha))
    objective.begin_step(Mixture(alpha), 1 / 7)
    head = find_head(objective.model)
    assert head is not None
    width = next(p for p in model.parameters() if p.is_floating_point()).dtype.itemsize
    return FusedHead(objective, head, chunk_bytes=5 * VOCAB * width)


def on_logits(model: Any, alpha: float = 0.9) -> Any:
    objective = install(model, Mixture(alpha))
    objective.begin_step(Mixture(alpha), 1 / 7)
    return objective


def gradients(model: Any) -> dict[str, Tensor]:
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


def check_equal(
    model: Any,
    batch: dict[str, Tensor] | None = None,
    tolerance: float = 1e-6,
    forward: Callable[[Any, dict[str, Tensor]], Any] = lambda model, batch: model(**batch),
) -> FusedHead:
    """Loss, statistics and every gradient of the fused `model` against those of a copy on logits."""
    batch = batch or make_batch()
    twin = copy.deepcopy(model)
    objective, fused = on_logits(twin), fuse(model)
    expected, found = forward(twin, batch).loss, forward(model, batch).loss
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=0)
    (3 * expected).backward()
    (3 * found).backward()
    assert fused.passes == 1, "the head did not compute the loss"
    assert fused.objective.calls == objective.calls
    assert_close_totals(fused, objective)
    wanted, got = gradients(twin), gradients(model)
    assert got.keys() == wanted.keys() and wanted
    for name, gradient in wanted.items():
        assert gradient.abs().max() > 0 or "router" in name or "expert" in name or ".k_proj.bias" in name, name
        torch.testing.assert_close(got[name], gradient, rtol=0, atol=tolerance, msg=lambda m, n=name: f"{n}: {m}")
    return fused


def assert_close_totals(fused: FusedHead, objective: Any) -> None:
    found, expected = fused.objective.take_totals(), objective.take_totals()
    assert found.tokens == expected.tokens > 0
    assert found.ce == pytest.approx(expected.ce, rel=1e-5)
    assert found.loss == pytest.approx(expected.loss, rel=1e-5)
    assert found.held_back == pytest.approx(expected.held_back, rel=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_gradients_equal_the_logits_path(name: str) -> None:
    check_equal(make_model(name))
