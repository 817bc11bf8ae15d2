"""What a model's folder says of it, and which kind of training fits a memory."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from axolotl_dece.util.json_text import read_object

ADAPTERS = ("lora", "qlora", "full")
# GiB per billion parameters: weights, and for `full` gradients and Adam's moments; computed, not measured
_GIB = {"lora": 2.0, "qlora": 0.6, "full": 16.0}
# of the memory; activations and logits take the rest
_WEIGHTS = 0.6
_AGAIN = "download the model again"


@dataclass(frozen=True)
class Model:
    """A base model, as far as its folder is on this machine.

    Attributes:
        parameters: How many, or None where no safetensors file says it.
        longest: Tokens of the longest sequence, or None.
        has_template: Whether it brings a chat template.
    """

    parameters: int | None = None
    longest: int | None = None
    has_template: bool = True


def read_model(name: str) -> Model:
    """What is known of a model; nothing of one that is not in a folder here.

    Raises:
        ValueError: A file of the folder was cut short; names it.
    """
    folder = Path(name)
    if not folder.is_dir():
        return Model()
    config = _json(folder / "config.json")
    tokenizer = _json(folder / "tokenizer_config.json")
    has_template = bool(tokenizer.get("chat_template")) or (folder / "chat_template.jinja").is_file()
    # packed weights are fewer numbers than parameters
    parameters = None if config.get("quantization_config") else _count(folder)
    longest = config.get("max_position_embeddings")
    return Model(parameters, longest if isinstance(longest, int) else None, has_template)


def choose_adapter(model: Model, memory: float) -> str:
    """LoRA where its weights fit into `memory` GiB, else QLoRA; LoRA on a CPU, which has no 4-bit kernels.

    Raises:
        ValueError: Neither fits, or the size of the model is not known.
    """
    if memory == 0:
        return "lora"
    if model.parameters is None:
        raise ValueError("how many parameters the model has is not known here; say --adapter lora, qlora or full")
    for adapter in ("lora", "qlora"):
        if model.parameters / 1e9 * _GIB[adapter] <= _WEIGHTS * memory:
            return adapter
    raise ValueError(
        f"{model.parameters / 1e9:.1f} billion parameters do not fit into {memory:g} GiB, not even as QLoRA; "
        "docs/recipes.md has recipes for several GPUs"
    )


def _count(folder: Path) -> int | None:
    from safetensors import SafetensorError, safe_open

    total = 0
    for file in folder.glob("*.safetensors"):
        try:
            with safe_open(file, framework="np") as tensors:
                total += sum(math.prod(tensors.get_slice(name).get_shape()) for name in tensors.keys())  # noqa: SIM118
        except SafetensorError as error:
            raise ValueError(f"{file} cannot be read ({error}); {_AGAIN}") from error
    return total or None


def _json(path: Path) -> dict[str, Any]:
    return read_object(path, _AGAIN) if path.is_file() else {}
