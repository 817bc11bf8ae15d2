"""Where the fused head is used: what keeps it from a model, and what has not been proven for it yet."""

from __future__ import annotations

import inspect
from typing import Any, Literal

from torch import nn

from axolotl_dece.loss.fused_head import FusedHead, drop_logits, find_head
from axolotl_dece.loss.objective import Objective

FusedHeadKey = bool | Literal["auto"]
Sharding = Literal["replicated", "sharded", "unproven"]

PROVEN = {
    *("cohere", "gemma2", "gpt2", "granite", "llama", "mistral"),
    *("mixtral", "phi", "qwen2", "qwen3", "qwen3_moe", "starcoder2"),
}
"""`model_type`s whose gradients are compared with the logits path in tests/loss/test_fused_head.py."""


def use_fused_head(objective: Objective, key: FusedHeadKey, sharding: Sharding = "replicated") -> str:
    """Put the fused head under the objective's model where `key` says so, and say in one line what was done.

    Args:
        objective: Already installed; its model is the one whose head is taken.
        key: `dece_fused_head`: True, False, or "auto" for wherever it is proven.
        sharding: How the weights lie on the ranks: `replicated` (one process, DDP, ZeRO-1 and 2), `sharded` (ZeRO-3,
            FSDP2), or `unproven` for anything else.

    Raises:
        ValueError: `key` is True where the fused head cannot work.
    """
    model = objective.model
    head = find_head(model)
    reasons = _impossible(model, head, sharding) if key else ["`dece_fused_head: false`"]
    if key is True and reasons:
        raise ValueError(
            f"`dece_fused_head: true` cannot be used here: {'; '.join(reasons)}. Set it to `auto` or `false`"
        )
    if key == "auto":
        reasons += _unproven(model, sharding)
    if reasons or head is None:
        drop_logits(model)
        return f"fused head off: {'; '.join(reasons)}"
    FusedHead(objective, head)
    return "fused head on: the logits are never in memory as a whole"


def _impossible(model: Any, head: nn.Module | None, sharding: Sharding) -> list[str]:
    if head is None:
        return [f"{type(model).__name__} has no output embeddings"]
    reasons = []
    if "labels" not in inspect.signature(type(model).forward).parameters:
        reasons.append(f"the forward of {type(model).__name__} takes no `labels`")
    if sharding == "sharded" and type(head) is not nn.Linear:
        # its parts are gathered chunk by chunk, and ranks with fewer chunks would leave the others waiting
        reasons.append(f"the head is a {type(head).__name__} whose parts are sharded over the ranks (ZeRO-3 or FSDP)")
    if any(hasattr(p, "placements") for p in head.parameters()):
        reasons.append("the head is split over the vocabulary (tensor parallel)")
    return reasons


def _unproven(model: Any, sharding: Sharding) -> list[str]:
    reasons = []
    if model.config.model_type not in PROVEN:
        reasons.append(f"not proven for model_type {model.config.model_type!r}, `dece_fused_head: true` tries it")
    if sharding == "unproven":
        reasons.append("not proven under this kind of parallelism, `dece_fused_head: true` tries it")
    return reasons
