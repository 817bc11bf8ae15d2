"""Which module computes the loss, and which classes compute it where ours cannot stand."""

import importlib
import inspect
import re
from typing import Any

import pytest
import transformers
from transformers import BambaConfig, BambaForCausalLM, BartConfig, BartForCausalLM, GPT2Config, GPT2LMHeadModel

from axolotl_dece.loss.causal_model import find_causal_model, find_inline_loss
from axolotl_dece.loss.criterion import Mixture
from axolotl_dece.loss.objective import install


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


def bamba(weight: float) -> Any:
    shape = {"hidden_size": 16, "intermediate_size": 16, "num_attention_heads": 2, "num_key_value_heads": 1}
    mamba = {"mamba_n_heads": 4, "mamba_d_head": 8, "mamba_d_state": 8, "attn_layer_indices": [0]}
    config = BambaConfig(vocab_size=11, num_hidden_layers=1, z_loss_coefficient=weight, **shape, **mamba)
    return BambaForCausalLM(config)


def test_a_model_that_adds_a_loss_on_logits_that_are_gone_is_refused() -> None:
    with pytest.raises(ValueError, match=r"`z_loss_coefficient: 0.001` .*overrides_of_model_config"):
        install(bamba(0.001), Mixture(0.9))
    assert install(bamba(0.0), Mixture(0.9)).model is not None, "which is the remedy"


@pytest.mark.parametrize("module", ["bamba", "granite", "llama", "mixtral", "olmo2", "qwen3"])
def test_no_other_model_uses_its_logits_after_it_has_asked_for_the_loss(module: str) -> None:
    """A release that adds such a loss under another name fails here; `find_z_loss` is to know the name."""
    source = inspect.getsource(importlib.import_module(f"transformers.models.{module}.modeling_{module}"))
    after = [text.split("return ", 1)[0] for text in source.split("self.loss_function(")[1:]]
    uses = [text for text in after if re.search(r"(?<![=\w])logits\.", text.split(")\n", 1)[-1])]
    assert all("z_loss" in text for text in uses)
    assert bool(uses) == (module == "bamba")
