"""`auto` takes the head where that is proven and says why not elsewhere; `true` raises where it cannot work."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from transformers import FalconH1Config, LlamaConfig

from axolotl_dece.loss.criterion import Mixture
from axolotl_dece.loss.fused_head import FusedHead
from axolotl_dece.loss.fused_policy import PROVEN, use_fused_head
from axolotl_dece.loss.logit_transform import GRID, LogitTransform
from axolotl_dece.loss.objective import Objective, install
from tests.loss.test_fused_head import MODELS, lora, make_model


def objective(model: Any) -> Objective:
    return install(model, Mixture(0.9))


def is_fused(model: Any) -> bool:
    return isinstance(model.loss_function, FusedHead)


def test_every_proven_model_type_is_among_the_models_whose_gradients_are_compared() -> None:
    compared = {make_model(name).config.model_type for name in MODELS}
    assert compared == PROVEN


@pytest.mark.parametrize("sharding", ["replicated", "sharded"])
def test_auto_takes_the_head_of_a_proven_model(sharding: Any) -> None:
    model = make_model("Llama")
    assert "fused head on" in use_fused_head(objective(model), "auto", sharding)
    assert is_fused(model)


@pytest.mark.parametrize("key", [False, "auto", True])
def test_what_is_not_proven_is_left_alone_unless_asked_for(key: Any) -> None:
    model = make_model("Llama")
    model.config.model_type = "something_new"
    line = use_fused_head(objective(model), key)
    assert is_fused(model) == (key is True)
    assert {False: "`dece_fused_head: false`", "auto": "'something_new'", True: "fused head on"}[key] in line


def test_an_unproven_parallelism_is_left_alone_unless_asked_for() -> None:
    model = make_model("Llama")
    assert "parallelism" in use_fused_head(objective(model), "auto", "unproven")
    assert not is_fused(model)
    assert "on" in use_fused_head(objective(model), True, "unproven")


def test_an_adapted_head_in_parts_over_the_ranks_is_refused_with_the_remedy() -> None:
    model = lora(make_model("Llama"), target_modules=["lm_head"])
    inner = model.get_base_model()
    assert "sharded over the ranks" in use_fused_head(objective(model), "auto", "sharded")
    assert not is_fused(inner)
    with pytest.raises(ValueError, match=r"sharded over the ranks.*Set it to `auto` or `false`"):
        use_fused_head(objective(model), True, "sharded")


def test_a_model_without_a_head_is_refused() -> None:
    model = make_model("Llama")
    model.get_output_embeddings = lambda: None
    assert "no output embeddings" in use_fused_head(objective(model), "auto")
    with pytest.raises(ValueError, match="no output embeddings"):
        use_fused_head(objective(model), True)


def test_a_head_split_over_the_vocabulary_is_refused() -> None:
    model = make_model("Llama")
    model.lm_head.weight = nn.Parameter(model.lm_head.weight.detach())
    model.lm_head.weight.placements = ()
    with pytest.raises(ValueError, match="tensor parallel"):
        use_fused_head(objective(model), True)


def test_transforms_are_read_from_the_config() -> None:
    assert LogitTransform.of(LlamaConfig()) == LogitTransform()
    assert LogitTransform.of(FalconH1Config(lm_head_multiplier=0.5)) == LogitTransform(scale=0.5)
    assert LogitTransform.of(make_model("Gemma2").config) == LogitTransform(softcap=0.05)
    assert LogitTransform.of(make_model("Cohere").config) == LogitTransform(scale=3.0)
    assert LogitTransform.of(make_model("Granite").config).scale == pytest.approx(1 / 0.3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("assumed", [LogitTransform(), LogitTransform(0.25), LogitTransform(softcap=30.0)])
def test_a_transform_recognises_itself_and_nothing_else(assumed: LogitTransform, dtype: torch.dtype) -> None:
    found = torch.tensor(GRID, dtype=dtype).expand(2, 3, -1)
    assumed.check(assumed(found))
    for other in (LogitTransform(1.1), LogitTransform(0.3), LogitTransform(softcap=25.0), LogitTransform(0.25, 30.0)):
        with pytest.raises(RuntimeError, match="does something to its logits"):
            assumed.check(other(found))
    with pytest.raises(RuntimeError, match="does something to its logits"):
        assumed.check(assumed(found)[..., :-1])
