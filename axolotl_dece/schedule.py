"""alpha over training: a function of `Progress` alone, which comes from the trainer's saved state.

So a run that was killed and resumed walks through the same alphas as one that was not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

ScheduleName = Literal["epoch", "linear", "constant"]

KEY_OF_SCHEDULE: dict[ScheduleName, str] = {
    "epoch": "dece_alpha_base",
    "linear": "dece_alpha_final",
    "constant": "dece_alpha",
}
"""The key of the config that holds a schedule's value."""


@dataclass(frozen=True)
class Progress:
    """Where a run stands when an optimiser step begins.

    Attributes:
        step: Optimiser steps already taken, 0 at the start.
        total_steps: Optimiser steps of the whole run.
        epoch: Passes over the data already finished, 0 during the first.
    """

    step: int
    total_steps: int
    epoch: int


@dataclass(frozen=True)
class AlphaSchedule:
    """alpha as a function of progress.

    `epoch` is the paper's: value ** (epoch + 1), so that the first epoch already trains at `value`.
    `linear` falls from 1 to `value` over the run, by optimiser step; the last step trains at `value`.
    `constant` stays at `value`.

    Args:
        name: One of the three.
        value: dece_alpha_base, dece_alpha_final or dece_alpha; in [0, 1).
        release: dece_release: after so many epochs alpha is 1, which is cross-entropy. None is never.
    """

    name: ScheduleName
    value: float
    release: int | None = None

    def at(self, progress: Progress) -> float:
        """alpha of the optimiser step that begins at `progress`, in [0, 1]."""
        if self.release is not None and progress.epoch >= self.release:
            return 1.0
        if self.name == "epoch":
            return self.value ** (progress.epoch + 1)
        if self.name == "linear":
            done = min(1.0, (progress.step + 1) / max(1, progress.total_steps))
            return 1.0 - (1.0 - self.value) * done
        return self.value

    @property
    def first(self) -> float:
        """alpha of the first step of any run that is not a single step."""
        return self.at(Progress(0, 1 << 30, 0))

    def __str__(self) -> str:
        """How alpha moves, in a banner's words."""
        words = {"epoch": f"{self.value} ** epoch", "linear": f"1 -> {self.value} by step"}
        moves = words.get(self.name, f"{self.value}, constant")
        return moves if self.release is None else f"{moves}, from epoch {self.release + 1} on 1"

    def plan(self, total_steps: int, steps_per_epoch: float, points: int = 11) -> list[tuple[int, float]]:
        """(optimiser step, alpha) at up to `points` steps spread over a run, the first and the last among them."""
        if total_steps < 1:
            return []
        steps = sorted({round(i * (total_steps - 1) / max(1, points - 1)) for i in range(points)})
        return [(s, self.at(Progress(s, total_steps, math.floor(s / steps_per_epoch)))) for s in steps]
