"""The fused head trains exactly what the logits path trains, whatever the architecture, the adapter and the mode."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor, nn

from axolotl_dece.loss.criterion import Criterion, Mixture
from axolotl_dece.loss.fused_head import FusedHead, drop_logits, find_head
from axolotl_dece.loss.objective import install
from axolotl_dece.loss.rivals import GeneralizedCrossEntropy, InTrust

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


DECE = Mixture(0.9)


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


def fuse(model: Any, criterion: Criterion = DECE) -> FusedHead:
    """The fused head on `model`, with chunks of five tokens, ready for a step."""
    objective = install(model, criterion)
    objective.begin_step(criterion, 1 / 7)
    head = find_head(objective.model)
    assert head is not None
    width = next(p for p in model.parameters() if p.is_floating_point()).dtype.itemsize
    return FusedHead(objective, head, chunk_bytes=5 * VOCAB * width)


def on_logits(model: Any, criterion: Criterion = DECE) -> Any:
    objective = install(model, criterion)
    objective.begin_step(criterion, 1 / 7)
    return objective


def gradients(model: Any) -> dict[str, Tensor]:
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


def check_equal(
    model: Any,
    batch: dict[str, Tensor] | None = None,
    tolerance: float = 1e-6,
    forward: Callable[[Any, dict[str, Tensor]], Any] = lambda model, batch: model(**batch),
    criterion: Criterion = DECE,
) -> FusedHead:
    """Loss, statistics and every gradient of the fused `model` against those of a copy on logits."""
    batch = batch or make_batch()
    twin = copy.deepcopy(model)
    objective, fused = on_logits(twin, criterion), fuse(model, criterion)
    expected, found = forward(twin, batch).loss, forward(model, batch).loss
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=0)
    (3 * expected).backward()
    (3 * found).backward()
    assert fused.passes == 1, "the head did not compute the loss"
    assert fused.objective.calls == objective.calls
    assert_close_totals(fused, objective)
    wanted, got = gradients(twin), gradients(model)
    assert wanted
    assert got.keys() == wanted.keys()
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


@pytest.mark.parametrize("name", ["Llama", "Gemma2"])
@pytest.mark.parametrize(
    "criterion",
    [GeneralizedCrossEntropy(0.5), InTrust(0.2, 0.8, 0.5), Mixture(1.0, 0.1, prob_floor=0.0)],
    ids=["gce", "in-trust", "label smoothing"],
)
def test_so_do_those_of_the_rivals(name: str, criterion: Criterion) -> None:
    check_equal(make_model(name), criterion=criterion)


def lora(model: Any, **config: Any) -> Any:
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(2)
    adapted = get_peft_model(model, LoraConfig(r=2, init_lora_weights=False, lora_dropout=0.0, **config))
    return adapted.train()


def test_lora_below_a_frozen_head() -> None:
    fused = check_equal(lora(make_model("Llama"), target_modules=["q_proj", "v_proj"]))
    assert type(fused.head) is nn.Linear
    assert not fused.head.weight.requires_grad


def test_lora_on_the_head() -> None:
    fused = check_equal(lora(make_model("Llama"), target_modules=["q_proj", "lm_head"]))
    assert any(p.requires_grad for p in fused.head.parameters())


def test_a_head_saved_with_the_adapter() -> None:
    fused = check_equal(lora(make_model("Llama"), target_modules=["q_proj"], modules_to_save=["lm_head"]))
    assert type(fused.head) is nn.Linear, "the trained copy itself, which takes the fast way"
    assert fused.head.weight.requires_grad


def test_lora_on_a_softcapped_head() -> None:
    check_equal(lora(make_model("Gemma2", tie_word_embeddings=False), target_modules=["lm_head"]))


def quantised(model: Any, skip: tuple[str, ...]) -> Any:
    """`model` with every linear layer but `skip` in nf4, as QLoRA loads it."""
    import bitsandbytes as bnb

    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if type(child) is nn.Linear and name not in skip:
                new = bnb.nn.Linear4bit(
                    child.in_features, child.out_features, child.bias is not None, torch.float32, quant_type="nf4"
                )
                new.load_state_dict(child.state_dict())
                setattr(parent, name, new.to("cpu"))
                assert new.weight.dtype == torch.uint8
    return model.requires_grad_(False)


@pytest.mark.parametrize("skip", [("lm_head",), ()], ids=["head-in-fp32", "head-in-nf4"])
def test_lora_over_an_nf4_base(skip: tuple[str, ...]) -> None:
    model = quantised(make_model("Llama", hidden_size=64, intermediate_size=64), skip)
    check_equal(lora(model, target_modules=["q_proj", "v_proj"]))


@pytest.mark.parametrize("reentrant", [True, False])
def test_gradient_checkpointing(reentrant: bool) -> None:
    model = make_model("Llama")
    model.gradient_checkpointing_enable({"use_reentrant": reentrant})
    check_equal(model)


def test_torch_compile() -> None:
    def compiled(model: Any, batch: dict[str, Tensor]) -> Any:
        return torch.compile(model, backend="aot_eager")(**batch)

    check_equal(make_model("Llama"), forward=compiled)


def test_packed_documents() -> None:
    """One row of three documents, told apart by their positions, their first tokens no targets."""
    torch.manual_seed(1)
    ids = torch.randint(3, VOCAB, (1, 20))
    labels = ids.clone()
    labels[0, [0, 7, 8, 12]] = -100
    positions = torch.cat([torch.arange(7), torch.arange(5), torch.arange(8)])[None]
    check_equal(make_model("Qwen2"), {"input_ids": ids, "labels": labels, "position_ids": positions})


def test_accumulation_adds_up() -> None:
    model = make_model("Llama-tied")
    twin = copy.deepcopy(model)
    objective, fused = on_logits(twin), fuse(model)
    batch = make_batch()
    for row in range(3):
        part = {key: value[row : row + 1] for key, value in batch.items()}
        twin(**part).loss.backward()
        model(**part).loss.backward()
    assert fused.objective.calls == objective.calls == fused.passes == 3
    for name, gradient in gradients(twin).items():
        torch.testing.assert_close(gradients(model)[name], gradient, rtol=0, atol=1e-6)


def test_a_batch_without_any_target_gives_zeros_to_every_parameter() -> None:
    for model in (make_model("Llama"), lora(make_model("Llama"), target_modules=["lm_head"])):
        batch = make_batch()
        batch["labels"][:] = -100
        fused = fuse(model)
        loss = model(**batch).loss
        loss.backward()
        assert (loss.item(), fused.objective.calls) == (0.0, 1)
        trained = [p for p in model.parameters() if p.requires_grad]
        assert all(p.grad is not None and not p.grad.any() for p in trained)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast(dtype: torch.dtype) -> None:
    def mixed(model: Any, batch: dict[str, Tensor]) -> Any:
        with torch.autocast("cpu", dtype=dtype):
            return model(**batch)

    check_equal(make_model("Llama"), forward=mixed, tolerance=2e-2)


def test_alpha_of_every_token_its_own() -> None:
    batch = make_batch()
    alpha = torch.linspace(0.0, 1.0, batch["labels"].numel())
    model = make_model("Llama")
    twin = copy.deepcopy(model)
    on_logits(twin).begin_step(Mixture(alpha), 1 / 7)
    fuse(model, Mixture(alpha))
    twin(**batch).loss.backward()
    model(**batch).loss.backward()
    for name, gradient in gradients(twin).items():
        torch.testing.assert_close(gradients(model)[name], gradient, rtol=0, atol=1e-6)


def test_eval_is_the_models_own_loss_on_real_logits() -> None:
    model = make_model("Llama").eval()
    batch = make_batch()
    expected = model(**batch)
    fuse(model)
    found = model(**batch)
    torch.testing.assert_close(found.loss, expected.loss, rtol=0, atol=0)
    torch.testing.assert_close(found.logits, expected.logits, rtol=0, atol=0)


def test_while_training_no_logits_leave_the_model() -> None:
    model = make_model("Llama")
    fuse(model)
    assert model(**make_batch()).logits is None
    assert model(input_ids=make_batch()["input_ids"]).logits.shape == (3, 13, VOCAB)
    other = make_model("Llama")
    on_logits(other)
    drop_logits(other)
    assert other(**make_batch()).logits is None
    assert other.eval()(**make_batch()).logits.shape == (3, 13, VOCAB)


def test_only_labels_that_line_up_with_the_positions_reach_the_head() -> None:
    model = make_model("Llama")
    fused = fuse(model)
    batch = make_batch()
    shifted = torch.nn.functional.pad(batch["labels"], (0, 1), value=-100)[:, 1:]
    outputs = model(
        input_ids=batch["input_ids"], labels=batch["labels"], logits_to_keep=4, shift_labels=shifted[:, -4:]
    )
    outputs.loss.backward()
    assert (fused.passes, fused.objective.calls) == (1, 1)
    other = make_model("Llama")
    fused = fuse(other)
    keep = torch.arange(9, 13)
    with pytest.raises((RuntimeError, ValueError, IndexError)):
        other(**batch, logits_to_keep=keep).loss.backward()
    assert fused.passes == 0


def test_an_unknown_transform_of_the_logits_stops_the_run() -> None:
    class Louder(transformers.LlamaForCausalLM):
        def forward(self, labels: Any = None, **kwargs: Any) -> Any:
            outputs = super().forward(**kwargs)
            return self.loss_function(logits=outputs.logits * 1.1, labels=labels, vocab_size=VOCAB)

    model = Louder(transformers.LlamaConfig(**SMALL)).train()
    fuse(model)
    with pytest.raises(RuntimeError, match="dece_fused_head: false"):
        model(**make_batch())


def test_a_trainer_that_normalises_too_is_refused() -> None:
    model = make_model("Llama")
    fuse(model)
    with pytest.raises(RuntimeError, match="normalised twice"):
        model(**make_batch(), num_items_in_batch=7)


def test_a_second_backward_is_refused() -> None:
    model = make_model("Llama")
    fuse(model)
    loss = model(**make_batch()).loss
    loss.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="hands its gradients over once"):
        loss.backward()


def test_the_trainer_still_sees_the_arguments_of_forward() -> None:
    model = make_model("Llama")
    before = inspect.signature(model.forward)
    fuse(model)
    assert inspect.signature(model.forward) == before


def test_accelerate_can_wrap_and_unwrap_the_model() -> None:
    """Its mixed precision replaces `forward` once more, and unwrapping follows `__wrapped__` back."""
    from accelerate import Accelerator

    model = make_model("Llama")
    fused = fuse(model)
    accelerator = Accelerator(cpu=True)
    accelerator.native_amp, accelerator.state._mixed_precision = True, "bf16"
    prepared = accelerator.prepare_model(model)
    prepared(**make_batch()).loss.backward()
    bare = accelerator.unwrap_model(prepared, keep_fp32_wrapper=False)
    bare(**make_batch()).loss.backward()
    assert fused.passes == 2
