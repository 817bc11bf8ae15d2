"""What a key that nobody knows was meant to be; imported when a config has one."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
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
