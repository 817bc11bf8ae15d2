"""The three numbers that define DeCE at one moment of training, checked once."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

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


def longest_product(largest: float) -> int:
    """How many factors 1 + t_i with sum(t_i) <= `largest` can be multiplied in fp32 without overflow: 1, 2 or 4."""
    for count in (4, 2):
        if count * math.log10(2.0 + largest / count) < 37.5:
            return count
    return 1
