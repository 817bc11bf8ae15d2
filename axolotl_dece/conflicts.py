"""What else in a config would take the loss away, and the way out of each: one table.

Every row was found by reading axolotl 0.19 or by a run that trained something else without a word; the reasons are
in docs/how-it-works.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


def _is_on(value: Any) -> bool:
    return bool(value)


def _above_one(value: Any) -> bool:
    return isinstance(value, int) and value > 1


@dataclass(frozen=True)
class Conflict:
    """A key that cannot stand beside `loss`: what it does to the loss, and how to resolve it."""

    key: str
    why: str
    remedy: str
    is_active: Callable[[Any], bool] = _is_on


_OTHER_TRAINER = "it trains through a trainer that computes its own loss"
_OTHER_LOSS = "it replaces the training loss"
_FUSED = "it computes cross-entropy inside the model, past the loss function"
_REMOVE = "remove it, or remove `loss`"
_NO_FUSED = "remove it; DeCE needs less memory than it saves (docs/performance.md)"

CONFLICTS = (
    Conflict("rl", _OTHER_TRAINER, "use an SFT config"),
    Conflict("reward_model", _OTHER_TRAINER, "use an SFT config"),
    Conflict("process_reward_model", _OTHER_TRAINER, "use an SFT config"),
    Conflict("orpo_alpha", _OTHER_LOSS, _REMOVE),
    Conflict("kd_trainer", _OTHER_TRAINER, _REMOVE),
    Conflict("diffusion", _OTHER_TRAINER, "remove the block and the diffusion plugin"),
    Conflict("use_eaft", _OTHER_LOSS, _REMOVE),
    Conflict("use_dft", _OTHER_LOSS, _REMOVE),
    Conflict("label_smoothing_factor", _OTHER_LOSS, "remove it and set `dece_label_smoothing`"),
    Conflict("chunked_cross_entropy", _OTHER_LOSS, _NO_FUSED),
    Conflict("cut_cross_entropy", _FUSED, _NO_FUSED),
    Conflict("liger_cross_entropy", _OTHER_LOSS, "remove it; Liger's rms_norm, rope and glu kernels may stay"),
    Conflict("liger_fused_linear_cross_entropy", _FUSED, "remove it; Liger's rms_norm, rope and glu kernels may stay"),
    Conflict("liger_use_token_scaling", _FUSED, _REMOVE),
    Conflict("unsloth_cross_entropy_loss", _OTHER_LOSS, _REMOVE),
    Conflict("num_labels", "it trains a classifier, which has no target tokens", _REMOVE),
    Conflict(
        "context_parallel_size", "it cuts the labels at rank borders, which loses targets", "set it to 1", _above_one
    ),
    Conflict(
        "sequence_parallel_degree", "it cuts the labels at rank borders, which loses targets", "set it to 1", _above_one
    ),
    Conflict(
        "tensor_parallel_size",
        "the logits may be split over ranks, and DeCE needs whole rows",
        "set it to 1",
        _above_one,
    ),
    Conflict("expert_parallel_size", "DeCE has not been tested with it", "set it to 1", _above_one),
)

# Plugins that act by being listed, whether or not a key of theirs is set.
_PLUGIN_CONFLICTS = {
    "cut_cross_entropy.CutCrossEntropyPlugin": (
        "cut_cross_entropy",
        _FUSED,
        "remove it or set `cut_cross_entropy: false`",
    ),
    "diffusion.DiffusionPlugin": ("diffusion", _OTHER_TRAINER, "remove it"),
}


def find_conflicts(raw: Mapping[str, Any]) -> list[str]:
    """One sentence for every conflict in the config as the user wrote it: key, value, reason and remedy."""
    found = [
        f"`{c.key}: {raw[c.key]}` conflicts with `loss: {raw['loss']}`: {c.why}; {c.remedy}"
        for c in CONFLICTS
        if c.is_active(raw.get(c.key))
    ]
    for plugin in raw.get("plugins") or []:
        for suffix, (key, why, remedy) in _PLUGIN_CONFLICTS.items():
            if str(plugin).endswith(suffix) and raw.get(key) is None:
                found.append(f"plugin `{plugin}` conflicts with `loss: {raw['loss']}`: {why}; {remedy}")
    return found
