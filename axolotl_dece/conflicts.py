"""What else in a config would take the loss away, and the way out of each: one table.

Every row was found by reading axolotl 0.19 to 0.21 or by a run that trained something else without a word; the reasons
are in docs/how-it-works.md. Values are judged as axolotl will see them, not as they were typed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

_BOOL, _NUMBER = TypeAdapter(bool), TypeAdapter(float)
Fields = Mapping[str, FieldInfo]


def _above_one(value: Any) -> bool:
    """Whether a number of ranks, or the `size` of a block as written or as validated, is more than one."""
    size = value.get("size") if isinstance(value, Mapping) else getattr(value, "size", value)
    try:
        return _NUMBER.validate_python(size) > 1
    except ValidationError:
        return False


@dataclass(frozen=True)
class Conflict:
    """A key that cannot stand beside `loss`: what it does to the loss, and how to resolve it."""

    key: str
    why: str
    remedy: str
    is_active: Callable[[Any], bool] = bool


_OTHER_TRAINER = "it trains through a trainer that computes its own loss"
_OTHER_LOSS = "it replaces the training loss"
_FUSED = "it computes cross-entropy inside the model, past the loss function"
_CUTS_LABELS = "it cuts the labels at rank borders, which loses targets"
_SPLIT_ROWS = "the logits may be split over ranks, and DeCE needs whole rows"
_ROUTER_LOSS = "its trainer adds a router loss outside of the model, which was not tested with DeCE"
_COPIED_MODEL = "it compiles a copy of the model, which stays outside of training and keeps plain cross-entropy"
_REMOVE = "remove it, or remove `loss`"
_REMOVE_DIFFUSION = "remove the block and the diffusion plugin"
_NO_FUSED = "remove it; DeCE needs less memory than it saves (docs/performance.md)"
_LIGER_MAY_STAY = "remove it; Liger's rms_norm, rope and glu kernels may stay"
_WHOLE_MODEL = "remove it; `torch_compile: true` alone may stay"

CONFLICTS = (
    Conflict("rl", _OTHER_TRAINER, "use an SFT config"),
    Conflict("reward_model", _OTHER_TRAINER, "use an SFT config"),
    Conflict("process_reward_model", _OTHER_TRAINER, "use an SFT config"),
    Conflict("orpo_alpha", _OTHER_LOSS, _REMOVE),
    Conflict("kd_trainer", _OTHER_TRAINER, _REMOVE),
    Conflict("hatchery", "it trains on another machine, through a trainer of its own", _REMOVE),
    Conflict("diffusion", _OTHER_TRAINER, _REMOVE_DIFFUSION),
    Conflict("diffusion_lm", _OTHER_TRAINER, _REMOVE_DIFFUSION),
    Conflict("diffusion_decision", _OTHER_TRAINER, _REMOVE_DIFFUSION),
    Conflict("adapter", _ROUTER_LOSS, "use `adapter: lora`", lambda value: value == "mixlora"),
    Conflict("use_eaft", _OTHER_LOSS, "remove it, or write `loss: eaft`"),
    Conflict("use_dft", _OTHER_LOSS, "remove it, or write `loss: gce` with `dece_gce_q: 1.0`"),
    Conflict("label_smoothing_factor", _OTHER_LOSS, "remove it and set `dece_label_smoothing`"),
    Conflict("chunked_cross_entropy", _OTHER_LOSS, _NO_FUSED),
    Conflict("cut_cross_entropy", _FUSED, _NO_FUSED),
    Conflict("flash_attn_cross_entropy", _OTHER_LOSS, _NO_FUSED),
    Conflict("liger_cross_entropy", _OTHER_LOSS, _LIGER_MAY_STAY),
    Conflict("liger_fused_linear_cross_entropy", _FUSED, _LIGER_MAY_STAY),
    Conflict("liger_use_token_scaling", _FUSED, _REMOVE),
    Conflict("unsloth_cross_entropy_loss", _OTHER_LOSS, _REMOVE),
    Conflict("num_labels", "it trains a classifier, which has no target tokens", _REMOVE),
    Conflict("torch_compile_regional", _COPIED_MODEL, _WHOLE_MODEL),
    Conflict("context_parallel", _CUTS_LABELS, "set its `size` to 1", _above_one),
    Conflict("context_parallel_size", _CUTS_LABELS, "set it to 1", _above_one),
    Conflict("sequence_parallel_degree", _CUTS_LABELS, "set it to 1", _above_one),
    Conflict("tensor_parallel_size", _SPLIT_ROWS, "set it to 1", _above_one),
    Conflict("expert_parallel_size", "DeCE has not been tested with it", "set it to 1", _above_one),
)

# Plugins that act by being listed, by the name of their class: the key that decides where it is set, or None, what the
# plugin does to the loss, and the way out.
_PLUGIN_CONFLICTS = {
    "CutCrossEntropyPlugin": ("cut_cross_entropy", _FUSED, "remove it or set `cut_cross_entropy: false`"),
    "DiffusionPlugin": (None, _OTHER_TRAINER, "remove it"),
    "DiffusionDecisionPlugin": (None, _OTHER_TRAINER, "remove it"),
    "HatcheryPlugin": (None, _OTHER_TRAINER, "remove it"),
}
_REGIONAL = "ACCELERATE_DYNAMO_USE_REGIONAL_COMPILATION"


def find_conflicts(raw: Mapping[str, Any], fields: Fields | None = None) -> list[str]:
    """One sentence for every conflict in a config: key, value, reason and remedy.

    Args:
        raw: The config as the user wrote it, or as axolotl has validated it.
        fields: The schema that axolotl will read it by, where it is known.
    """
    loss = raw["loss"]
    found = [
        f"`{c.key}: {raw[c.key]}` conflicts with `loss: {loss}`: {c.why}; {c.remedy}"
        for c in CONFLICTS
        if c.key in raw and c.is_active(as_seen(c.key, raw[c.key], fields or {}))
    ]
    return [*found, *_plugin_conflicts(raw), *_environment_conflicts(raw, fields or {})]


def as_seen(key: str, value: Any, fields: Fields) -> Any:
    """A value as axolotl will see it: YAML's `"false"` is False, and `"2"` or `2.0` is 2 where a number is meant.

    What the schema refuses comes back unchanged: axolotl will refuse it as well.
    """
    try:
        if key in fields:
            return TypeAdapter(fields[key].rebuild_annotation()).validate_python(value)
        return _BOOL.validate_python(value) if isinstance(value, str) else value
    except ValidationError:
        return value


def _plugin_conflicts(raw: Mapping[str, Any]) -> Iterator[str]:
    plugins = raw.get("plugins")
    for plugin in plugins if isinstance(plugins, (list, tuple)) else []:
        key, why, remedy = _PLUGIN_CONFLICTS.get(re.split(r"[.:]", str(plugin))[-1], ("plugins", "", ""))
        if key is None or key not in raw:
            yield f"plugin `{plugin}` conflicts with `loss: {raw['loss']}`: {why}; {remedy}"


def _environment_conflicts(raw: Mapping[str, Any], fields: Fields) -> Iterator[str]:
    """Regional compilation is also switched on past the config, by `accelerate launch` among others."""
    if as_seen(_REGIONAL, os.environ.get(_REGIONAL, ""), {}) is not True:
        return
    backend = os.environ.get("ACCELERATE_DYNAMO_BACKEND", "no").lower()
    if as_seen("torch_compile", raw.get("torch_compile"), fields) or backend not in ("", "no"):
        yield (
            f"the environment variable `{_REGIONAL}` conflicts with `loss: {raw['loss']}` and torch.compile: "
            f"{_COPIED_MODEL}; unset it, or launch without `--dynamo_use_regional_compilation`"
        )
