"""What is trained at one moment of a run: DeCE as the three numbers that define it, or a rival."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol, Self

import torch
from torch import Tensor


@dataclass(frozen=True)
class Mixture:
    """How the model's prediction p and the smoothed label q are blended: m = alpha * p + (1 - alpha) * q.

    Args:
        alpha: Weight of the model's own prediction, in [0, 1]; 1 is (label-smoothed) cross-entropy. A tensor of
            shape [N] gives every token its own weight.
        label_smoothing: Share of the label spread over the wrong classes, in [0, 1).
        prob_floor: Probabilities below it are raised to it before blending and get no gradient, in [0, 1).
            0 is the pure mixture; 1e-7 is the reference code's clamp.

    Raises:
        ValueError: A number is outside its range; the message names the argument and the value.
    """

    alpha: float | Tensor
    label_smoothing: float = 0.05
    prob_floor: float = 1e-7

    def __post_init__(self) -> None:
        # a tensor of weights is made by our own code; looking at its values would stall a GPU
        if not isinstance(self.alpha, Tensor) and not 0.0 <= self.alpha <= 1.0:
            raise ValueError(f"alpha must be in [0, 1], got {self.alpha!r}")
        if not 0.0 <= self.label_smoothing < 1.0:
            raise ValueError(f"label_smoothing must be in [0, 1), got {self.label_smoothing!r}")
        if not 0.0 <= self.prob_floor < 1.0:
            raise ValueError(f"prob_floor must be in [0, 1), got {self.prob_floor!r}")

    def of_rows(self, rows: slice | Tensor) -> Mixture:
        """The mixture of some of the rows: itself, unless every token has an alpha of its own."""
        if not isinstance(self.alpha, Tensor) or self.alpha.dim() == 0:
            return self
        return replace(self, alpha=self.alpha[rows])

    def trusting(self, trusted: Tensor) -> Mixture:
        """The mixture whose alpha is 1 where `trusted` [N] says so."""
        return replace(self, alpha=torch.where(trusted, 1.0, self.alpha))


class Rival(Protocol):
    """A loss that DeCE is compared with; those there are stand in `rivals`, which is imported when one is named."""

    def block(self, logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """(loss [R], cross-entropy [R], sigma of the target [R], gradient [R, V]) of logits [R, V], target [R]."""

    def of_rows(self, rows: slice | Tensor) -> Self:
        """The loss of some of the rows."""

    def trusting(self, trusted: Tensor) -> Self:
        """The loss that is cross-entropy where `trusted` [N] says so; NotImplementedError where it has no such form."""


Criterion = Mixture | Rival
"""What can be trained: DeCE, of which (smoothed) cross-entropy is the case alpha = 1, or a rival."""

CROSS_ENTROPY = Mixture(alpha=1.0, label_smoothing=0.0, prob_floor=0.0)
"""The mixture that is plain cross-entropy."""


def criterion_of(keys: Mapping[str, Any], alpha: float) -> Criterion:
    """What a validated config trains; `alpha` is that of the first step, where the loss has one.

    Raises:
        ValueError: `loss` is none of ours.
    """
    match keys["loss"]:
        case "dece":
            return Mixture(alpha, keys["dece_label_smoothing"], keys["dece_prob_floor"])
        case "ce":
            return CROSS_ENTROPY
        case "label_smoothing":
            return Mixture(1.0, keys["dece_label_smoothing"], prob_floor=0.0)
    from axolotl_dece.loss.rivals import rival_of

    return rival_of(keys)
