"""Writes docs/recipes.md from examples/: `python docs/make_recipes.py`. A test compares.

The memory of each recipe is computed here, from the shape of its model and the keys that decide; it is arithmetic,
not a measurement.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

PAGE = Path(__file__).with_name("recipes.md")
EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
GIB = 2**30
MEMORY_LINE = re.compile(r"^# Memory: (?P<said>.*?), computed", re.MULTILINE)
ORDER = (
    "quickstart-cpu.yaml",
    "qlora-7b-24gb.yaml",
    "lora-7b-zero2.yaml",
    "full-7b-zero3.yaml",
    "qlora-32b-fsdp2.yaml",
    "packed-long-context.yaml",
    "sweep-alpha.yaml",
    "poison-and-measure.yaml",
)


@dataclass(frozen=True)
class Shape:
    """A decoder as its published config describes it."""

    layers: int
    hidden: int
    intermediate: int
    heads: int
    kv_heads: int
    vocab: int
    head_dim: int = 128
    matrices: int = 3  # of the MLP: gate, up and down; 2 where there is no gate
    tied: bool = False

    @property
    def linears(self) -> list[tuple[int, int]]:
        """(in, out) of every linear layer in one block."""
        query, key = self.heads * self.head_dim, self.kv_heads * self.head_dim
        mlp = [(self.hidden, self.intermediate)] * (self.matrices - 1) + [(self.intermediate, self.hidden)]
        return [(self.hidden, query), (self.hidden, key), (self.hidden, key), (query, self.hidden), *mlp]

    @property
    def block(self) -> int:
        """Parameters of one block."""
        return sum(a * b for a, b in self.linears)

    @property
    def embeddings(self) -> int:
        """Parameters of embedding and LM head."""
        return self.vocab * self.hidden * (1 if self.tied else 2)

    @property
    def parameters(self) -> int:
        """All of them, norms and biases left out."""
        return self.layers * self.block + self.embeddings


SHAPES = {
    "Qwen/Qwen2.5-Coder-0.5B": Shape(24, 896, 4864, 14, 2, 151936, head_dim=64, tied=True),
    "Qwen/Qwen2.5-Coder-0.5B-Instruct": Shape(24, 896, 4864, 14, 2, 151936, head_dim=64, tied=True),
    "Qwen/Qwen2.5-Coder-7B": Shape(28, 3584, 18944, 28, 4, 152064),
    "Qwen/Qwen2.5-Coder-32B": Shape(64, 5120, 27648, 40, 8, 152064),
    "Qwen/Qwen3-8B": Shape(36, 4096, 12288, 32, 8, 151936),
    "bigcode/starcoder2-7b": Shape(32, 4608, 18432, 36, 4, 49152, matrices=2, tied=True),
    "deepseek-ai/deepseek-coder-6.7b-base": Shape(32, 4096, 11008, 32, 32, 32256),
}


def estimate(config: Mapping[str, Any], gpus: int) -> dict[str, float]:
    """GiB on each GPU (or in RAM) at the peak of a step, by what takes it.

    Args:
        config: An axolotl config whose `base_model` is in `SHAPES`.
        gpus: How many share the work.
    """
    shape = SHAPES[config["base_model"]]
    stage = _zero_stage(config)
    share = {"weights": gpus if stage == 3 else 1, "states": gpus if stage >= 2 else 1}
    tokens = config["micro_batch_size"] * config["sequence_len"]
    size = 4 if config.get("bf16") is False else 2
    parts = {
        "weights": _frozen(config, shape, size) / share["weights"] + _gathered(shape, stage),
        "adapter, gradients, optimizer": _trained(config, shape) / share["states"],
        "activations": _activations(shape, tokens, size),
        "loss": tokens * shape.hidden * size + (64 << 20 if size == 4 else 512 << 20),
        "context and fragments": 1.0 * GIB,
    }
    return {name: amount / GIB for name, amount in parts.items()}


def _zero_stage(config: Mapping[str, Any]) -> int:
    if config.get("fsdp_config"):
        return 3
    found = re.search(r"zero(\d)", str(config.get("deepspeed", "")))
    return int(found[1]) if found else 0


def _frozen(config: Mapping[str, Any], shape: Shape, size: int) -> float:
    """Bytes of the weights that are not trained; all 16 bytes of a trained one are in `_trained`."""
    if not config.get("adapter"):
        return 0
    # nf4 with double quantisation: half a byte, and 8 + 32/256 bits of constants for each block of 64
    quantised = 0.5 + (8 + 32 / 256) / 64 / 8
    block = quantised if config.get("load_in_4bit") else size
    return shape.layers * shape.block * block + shape.embeddings * size


def _trained(config: Mapping[str, Any], shape: Shape) -> float:
    """Bytes of what is trained: weight, gradient and optimiser state of each parameter."""
    if not config.get("adapter"):
        # bf16 weight and gradient; fp32 master, momentum and variance
        return shape.parameters * (2 + 2 + 12)
    adapter = shape.layers * sum(config["lora_r"] * (a + b) for a, b in shape.linears)
    state = 2 if "8bit" in str(config.get("optimizer")) else 8
    return adapter * (4 + 4 + state)


def _gathered(shape: Shape, stage: int) -> float:
    """Two blocks and the LM head are whole at a time where the weights are sharded."""
    return (2 * shape.block + shape.vocab * shape.hidden) * 2 if stage == 3 else 0


def _activations(shape: Shape, tokens: int, size: int) -> float:
    """With gradient checkpointing: the input of each block, and one block forward and backward."""
    inside = sum(a + b for a, b in shape.linears) + shape.intermediate
    return tokens * size * (shape.layers * shape.hidden + 2 * inside)


def gpus_of(text: str) -> int:
    """How many GPUs a recipe says it is for."""
    found = re.search(r"(\d+) GPUs", text)
    return int(found[1]) if found else 1


def say_memory(config: Mapping[str, Any], gpus: int) -> str:
    """The line in a recipe's head."""
    total = sum(estimate(config, gpus).values())
    where = "of RAM" if config.get("bf16") is False else "on each GPU" if gpus > 1 else "on the GPU"
    return f"{total:.0f} GiB {where}"


def base_of(path: Path, content: Mapping[str, Any]) -> dict[str, Any]:
    """The config that trains: the file itself, or for a sweep the one it is used with."""
    if "base_model" in content:
        return dict(content)
    used_with = re.search(r"([\w-]+\.yaml) --sweep", path.read_text(encoding="utf-8"))
    if not used_with:
        raise ValueError(f"{path} has no `base_model` and does not say which config it sweeps over")
    return dict(yaml.safe_load((EXAMPLES / used_with[1]).read_text(encoding="utf-8")))


def _recipe(path: Path) -> list[str]:
    text = path.read_text(encoding="utf-8")
    config = base_of(path, yaml.safe_load(text))
    parts = estimate(config, gpus_of(text))
    first = text.splitlines()[0].removeprefix("# ")
    spent = ", ".join(f"{name} {amount:.1f}" for name, amount in parts.items())
    return [
        f"## `{path.name}`",
        "",
        first,
        "",
        f"Model: `{config['base_model']}`. Memory, computed: **{say_memory(config, gpus_of(text))}** (GiB: {spent}).",
        "",
        f"```{{literalinclude}} ../examples/{path.name}",
        ":language: yaml",
        "```",
        "",
    ]


def build() -> str:
    """The page as text."""
    head = [
        "# Recipes",
        "",
        "Each file in `examples/` is a document to copy: what it is for, how to start it, what each knob trades. Point",
        "`datasets` at your own rows first, and let `axolotl dece check` look at the result. Memory is computed by",
        "`python docs/make_recipes.py`, not measured; leave two GiB of room. It assumes gradient checkpointing and the",
        "fused head (`dece_fused_head: auto`), without which the logits come on top.",
        "",
        "Any decoder that axolotl trains will do in their place: `Qwen/Qwen3-*`, `codellama/CodeLlama-7b-hf`,",
        "`deepseek-ai/deepseek-coder-*`, `bigcode/starcoder2-*`.",
        "",
    ]
    return "\n".join([*head, *(line for name in ORDER for line in _recipe(EXAMPLES / name))])


if __name__ == "__main__":
    PAGE.write_text(build(), encoding="utf-8")
    sys.stdout.write(f"{PAGE.name} written\n")
