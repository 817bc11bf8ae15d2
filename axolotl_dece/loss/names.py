"""The losses that `loss` can name: what each is called, where it is from, and which keys it reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

IGNORE_INDEX = -100
"""The label of a token that is not trained on, as transformers and axolotl have it."""

LossName = Literal["ce", "dece", "label_smoothing", "gce", "in_trust"]


@dataclass(frozen=True)
class Loss:
    """One value of `loss`.

    Attributes:
        title: Its name in a sentence.
        source: Where it was published; None for cross-entropy.
        keys: What decides which weights come out; a checkpoint is resumed only under the same.
    """

    title: str
    source: str | None
    keys: tuple[str, ...]


LOSSES: dict[LossName, Loss] = {
    "ce": Loss("plain cross-entropy", None, ()),
    "dece": Loss(
        "Deceptive Cross-Entropy",
        "https://arxiv.org/abs/2407.08956",
        (
            "dece_alpha_schedule",
            "dece_alpha_base",
            "dece_alpha_final",
            "dece_alpha",
            "dece_label_smoothing",
            "dece_prob_floor",
        ),
    ),
    "label_smoothing": Loss(
        "label-smoothed cross-entropy", "https://arxiv.org/abs/1512.00567", ("dece_label_smoothing",)
    ),
    "gce": Loss("generalised cross-entropy", "https://arxiv.org/abs/1805.07836", ("dece_gce_q",)),
    "in_trust": Loss(
        "In-trust loss",
        "https://aclanthology.org/2021.findings-acl.423",
        ("dece_in_trust_alpha", "dece_in_trust_beta", "dece_in_trust_delta"),
    ),
}


def say_loss(keys: Mapping[str, Any]) -> str:
    """Title and parameters of the loss that a validated config names."""
    loss = LOSSES[keys["loss"]]
    return ", ".join([loss.title, *(f"`{key}: {keys[key]}`" for key in loss.keys if keys[key] is not None)])
