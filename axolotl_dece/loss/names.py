"""The losses that `loss` can name: what each is called, where it is from, and which keys it reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from axolotl_dece.schedule import KEY_OF_SCHEDULE

IGNORE_INDEX = -100
"""The label of a token that is not trained on, as transformers and axolotl have it."""

LossName = Literal["ce", "dece", "label_smoothing", "gce", "in_trust", "threshold", "eaft"]


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
        ("dece_alpha_schedule", *KEY_OF_SCHEDULE.values(), "dece_label_smoothing", "dece_prob_floor"),
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
    "threshold": Loss("thresholded cross-entropy", "https://arxiv.org/abs/2510.00526", ("dece_threshold",)),
    "eaft": Loss("entropy-adaptive cross-entropy", "https://github.com/ymxyll/LlamaFactory-EAFT", ()),
}


def parameters_of(keys: Mapping[str, Any]) -> dict[str, Any]:
    """What decides which weights come out, as far as the loss goes, of a validated config."""
    return {key: keys[key] for key in LOSSES[keys["loss"]].keys if keys[key] is not None}


def say_loss(keys: Mapping[str, Any]) -> str:
    """Title and parameters of the loss that a validated config names."""
    said = [f"`{key}: {value}`" for key, value in parameters_of(keys).items()]
    return ", ".join([LOSSES[keys["loss"]].title, *said])
