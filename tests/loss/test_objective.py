"""The objective as a model's loss function: training, eval, statistics, refusals."""

import inspect
from typing import Any

import pytest
import torch
import transformers
from torch import nn
from transformers import BartConfig, BartForCausalLM, GPT2Config, GPT2LMHeadModel

from axolotl_dece.loss.criterion import CROSS_ENTROPY, Mixture
from axolotl_dece.loss.objective import find_causal_model, find_inline_loss, install, next_tokens
from axolotl_dece.loss.rivals import GeneralizedCrossEntropy
from tests.steps import collate, expected_ce, make_model, make_rows


@pytest.fixture
def model() -> Any:
    return make_model(train_steps=5)


def test_next_tokens_moves_labels_left_and_leaves_nothing_at_the_end() -> None:
    assert next_tokens(torch.tensor([[5, 6, 7]])).tolist() == [[6, 7, -100]]
    assert next_tokens(None, torch.tensor([[6, 7, -100]])).tolist() == [[6, 7, -100]]


def test_in_eval_the_models_own_loss_is_reported_whatever_alpha_is(model: Any) -> None:
    (batch,) = collate(make_rows(), 4)
    model.eval()
    expected = model(**batch).loss.item()
    objective = install(model, Mixture(0.01))
    objective.begin_step(Mixture(0.01), 1.0)
    assert model(**batch).loss.item() == expected
    assert (objective.calls, objective.take_totals().tokens) == (0, 0.0)


def test_totals_are_sums_over_target_tokens_and_start_anew_when_taken(model: Any) -> None:
    (batch,) = collate(make_rows(), 4)
    objective = install(model, CROSS_ENTROPY)
    objective.begin_step(CROSS_ENTROPY, 0.5)
    loss = model(**batch).loss
    model(**batch)
    totals = objective.take_totals()
    tokens = (batch["labels"][:, 1:] != -100).sum().item()
    assert totals.tokens == 2 * tokens
    assert totals.ce / totals.tokens == pytest.approx(expected_ce(model.eval()), rel=1e-6)
    assert totals.loss == pytest.approx(2 * loss.item() / 0.5, rel=1e-6)
    assert totals.held_back == pytest.approx(0.0, abs=1e-6), "cross-entropy withholds nothing"
    assert objective.take_totals().tokens == 0.0


def test_held_back_grows_as_alpha_falls(model: Any) -> None:
    (batch,) = collate(make_rows(), 4)
    objective = install(model, Mixture(1.0))
    shares = []
    for alpha in (0.99, 0.9, 0.5):
        objective.begin_step(Mixture(alpha), 1.0)
        model(**batch)
        totals = objective.take_totals()
        shares.append(totals.held_back / totals.tokens)
    assert 0.0 < shares[0] < shares[1] < shares[2] < 1.0


def test_a_loss_outside_of_a_step_is_refused(model: Any) -> None:
    (batch,) = collate(make_rows(), 4)
    install(model, Mixture(0.9))
    with pytest.raises(RuntimeError, match="outside of an optimiser step"):
        model(**batch)


def test_a_trainer_that_normalises_too_is_refused(model: Any) -> None:
    (batch,) = collate(make_rows(), 4)
    install(model, Mixture(0.9)).begin_step(Mixture(0.9), 1.0)
    with pytest.raises(RuntimeError, match="normalised twice"):
        model(**batch, num_items_in_batch=torch.tensor(7))


def test_a_batch_without_labels_is_refused(model: Any) -> None:
    objective = install(model, Mixture(0.9))
    objective.begin_step(Mixture(0.9), 1.0)
    with pytest.raises(ValueError, match="no labels"):
        objective(torch.randn(1, 2, 5))


def test_the_model_inside_an_adapter_is_found() -> None:
    from peft import LoraConfig, get_peft_model

    inner = GPT2LMHeadModel(GPT2Config(n_layer=1, n_embd=8, n_head=2, vocab_size=11))
    assert find_causal_model(get_peft_model(inner, LoraConfig(target_modules=["c_attn"]))) is inner


@pytest.mark.parametrize("name", ["BartForCausalLM", "GPT2LMHeadModel", "LlamaForCausalLM", "MambaForCausalLM"])
def test_a_model_class_is_refused_where_its_own_source_computes_the_loss(name: str) -> None:
    """Which ones do differs between releases of transformers, so the installed source says what to expect."""
    model_class = getattr(transformers, name)
    problem = find_inline_loss(model_class)
    if "self.loss_function(" in inspect.getsource(model_class.forward):
        assert problem is None
    else:
        assert problem is not None
        assert f"{name} computes its loss inside" in problem


def test_a_model_that_computes_its_loss_inline_is_not_installed_on() -> None:
    shape = {"vocab_size": 11, "d_model": 8, "decoder_layers": 1, "decoder_attention_heads": 2, "decoder_ffn_dim": 8}
    with pytest.raises(ValueError, match="BartForCausalLM computes its loss inside"):
        install(BartForCausalLM(BartConfig(**shape)), Mixture(0.9))


def test_a_forward_that_hands_on_to_its_parent_is_judged_by_the_parent() -> None:
    class Wrapped(GPT2LMHeadModel):
        def forward(self, *args: Any, **kwargs: Any) -> Any:
            return super().forward(*args, **kwargs)

    class Inline(Wrapped):
        def forward(self, *args: Any, **kwargs: Any) -> Any:
            return kwargs["logits"].mean()

    assert find_inline_loss(Wrapped) is None
    assert find_inline_loss(Inline) is not None


def test_only_the_one_instance_changes(model: Any) -> None:
    other = make_model(train_steps=0)
    install(model, Mixture(0.9))
    assert not isinstance(other.loss_function, type(model.loss_function))
    assert isinstance(model, nn.Module)


def test_a_baseline_is_never_asked_for_its_alpha(model: Any) -> None:
    objective = install(model, GeneralizedCrossEntropy(0.5))
    with pytest.raises(RuntimeError, match="has no alpha"):
        _ = objective.mixture
