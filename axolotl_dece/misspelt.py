"""What a key that nobody knows was meant to be, and one that is no text; imported when a config has one."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

# What users of other frameworks type, and what they mean here.
_SYNONYMS = {
    "dece": "loss: dece",
    "use_dece": "loss: dece",
    "use_dece_loss": "loss: dece",
    "dece_loss": "loss: dece",
    "loss_type": "loss: dece",
    "loss_fn": "loss: dece",
    "loss_func": "loss: dece",
    "loss_function": "loss: dece",
    "dece_alpha_min": "dece_alpha_final",
    "dece_epsilon": "dece_label_smoothing",
    "dece_eps": "dece_label_smoothing",
    "alpha_base": "dece_alpha_base",
    "gce_q": "dece_gce_q",
}


def say_unknown(key: Any, value: Any, ours: Sequence[str]) -> str | None:
    """A sentence with what was meant, or None where the key is no misspelling of ours.

    Args:
        key: As it was written.
        value: What it was set to.
        ours: The keys there are.
    """
    written = str(key).lower()
    if (meant := _SYNONYMS.get(written)) is not None:
        return f"unknown key `{key}: {value}`; write `{meant}`"
    if close := difflib.get_close_matches(written, ours, n=1, cutoff=0.75):
        return f"unknown key `{key}`; did you mean `{close[0]}`?"
    if "dece" in written:
        return f"unknown key `{key}`; the keys are {', '.join(f'`{name}`' for name in ours)}"
    return None


def find_odd_keys(raw: Mapping[Any, Any]) -> list[str]:
    """A sentence for every key that is no text: axolotl ends in a TypeError on it, before it validates anything."""
    return [
        f"`{key}: {raw[key]}` has a key that is no text but {type(key).__name__}; YAML reads on, off, yes, no and bare "
        "numbers so: put the key in quotes, or remove it"
        for key in raw
        if not isinstance(key, str)
    ]
