"""Which module of a model computes the loss, and whether it asks for it where ours can stand."""

from __future__ import annotations

import inspect
from typing import Any


def find_causal_model(model: Any) -> Any:
    """The module whose forward computes the loss: `model` itself, or what an adapter wraps.

    Raises:
        ValueError: Its forward does not ask `self.loss_function`, so no loss of ours would ever be called; or it adds
            a loss on logits that are gone by then.
    """
    causal = model.get_base_model() if hasattr(model, "get_base_model") else model
    if problem := find_inline_loss(type(causal)) or find_z_loss(causal.config):
        raise ValueError(problem)
    return causal


def find_z_loss(config: Any) -> str | None:
    """What is wrong with a config whose model adds a penalty on the size of the logits, as Bamba's may, or None.

    The model forms it after it has asked for the loss. By then the kernel has written the gradient over the logits,
    and of a fused head there never were any.
    """
    weight = getattr(config, "z_loss_coefficient", None)
    if not weight:
        return None
    return (
        f"`z_loss_coefficient: {weight}` of the model's config adds a loss on logits that are gone by then; write "
        "`overrides_of_model_config: {z_loss_coefficient: 0.0}`"
    )


def find_inline_loss(model_class: type) -> str | None:
    """Why the loss of a model class cannot be replaced, or None where its forward asks `self.loss_function`.

    The class is looked at, because one architecture computes its loss inline in one release of transformers and asks
    for it in the next.
    """
    for parent in model_class.__mro__:
        if "forward" not in vars(parent):
            continue
        names = inspect.unwrap(vars(parent)["forward"]).__code__.co_names
        if "loss_function" in names:
            return None
        if "super" not in names:
            break
    return (
        f"{model_class.__name__} computes its loss inside its own forward, where DeCE cannot take its place; use a "
        "model class whose forward calls `self.loss_function` (Llama, Qwen, Mistral, Gemma, Phi, StarCoder2, GPT-2 and "
        "most others do)"
    )
