"""Peak GPU memory and time of a 4-bit model, for cross-entropy and for DeCE with and without the fused head.

    python -m tests.distributed.qlora_memory                        # a 7B shape, random weights, 2k and 8k tokens
    python -m tests.distributed.qlora_memory --shape tiny --device cpu   # does it run?

Needs bitsandbytes and, for the numbers to mean anything, a CUDA device with 24 GB. Writes JSON lines.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import Any

import torch

from axolotl_dece.loss.criterion import Mixture
from axolotl_dece.loss.fused_policy import use_fused_head
from axolotl_dece.loss.objective import install

SHAPES: dict[str, dict[str, int]] = {
    "7B": {
        "vocab_size": 152064,
        "hidden_size": 3584,
        "intermediate_size": 18944,
        "num_hidden_layers": 28,
        "num_attention_heads": 28,
        "num_key_value_heads": 4,
    },
    "tiny": {
        "vocab_size": 512,
        "hidden_size": 64,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
    },
}


def build(shape: str, device: str) -> Any:
    """A Qwen2-shaped model of random 4-bit weights with LoRA on every linear layer but the head."""
    import bitsandbytes as bnb
    from peft import LoraConfig, get_peft_model
    from transformers import Qwen2Config, Qwen2ForCausalLM

    torch.set_default_dtype(torch.bfloat16)
    with torch.device(device):
        model = Qwen2ForCausalLM(Qwen2Config(**SHAPES[shape], tie_word_embeddings=False, use_cache=False))
    linear = [(name, module) for name, module in model.named_modules() if type(module) is torch.nn.Linear]
    for name, module in linear:
        if name == "lm_head":
            continue
        four = bnb.nn.Linear4bit(
            module.in_features, module.out_features, module.bias is not None,
            compute_dtype=torch.bfloat16, quant_type="nf4", compress_statistics=True, device="cpu",
        )  # fmt: skip
        four.weight = bnb.nn.Params4bit(module.weight.data.cpu(), requires_grad=False, quant_type="nf4")
        four.bias = module.bias
        parent, _, child = name.rpartition(".")
        setattr(model.get_submodule(parent), child, four.to(device))
    model.gradient_checkpointing_enable({"use_reentrant": False})
    model.enable_input_require_grads()
    return get_peft_model(model, LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM"))


def measure(shape: str, device: str, loss: str, fused: bool, tokens: int, steps: int) -> dict[str, Any]:
    """Peak memory in GiB and seconds per step of `steps` steps of one row of `tokens` tokens."""
    import bitsandbytes as bnb

    torch.manual_seed(0)
    model = build(shape, device).train()
    if loss == "dece":
        objective = install(model, Mixture(0.9))
        use_fused_head(objective, fused)
    optimizer = bnb.optim.PagedAdamW8bit([p for p in model.parameters() if p.requires_grad], lr=1e-4)
    ids = torch.randint(SHAPES[shape]["vocab_size"], (1, tokens), device=device)
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    started = time.perf_counter()
    for _ in range(steps):
        if loss == "dece":
            objective.begin_step(Mixture(0.9), 1.0 / (tokens - 1))
        last = model(input_ids=ids, labels=ids).loss
        last.backward()
        optimizer.step()
        optimizer.zero_grad()
    seconds = (time.perf_counter() - started, last.item())[0] / steps
    peak = torch.cuda.max_memory_allocated() / 2**30 if device == "cuda" else None
    return {"loss": loss, "fused": fused, "tokens": tokens, "peak_gib": peak, "seconds_per_step": round(seconds, 3)}


def main() -> None:
    """Every loss at every length; one JSON line each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shape", choices=SHAPES, default="7B")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--tokens", type=int, nargs="+", default=[2048, 8192])
    chosen = parser.parse_args()
    for tokens in chosen.tokens:
        for loss, fused in (("ce", False), ("dece", False), ("dece", True)):
            found = measure(chosen.shape, chosen.device, loss, fused, tokens, chosen.steps)
            sys.stdout.write(json.dumps(found) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
