"""What must hold after every optimiser step; the run stops where it does not."""

from __future__ import annotations

import math

from axolotl_dece.loss.objective import StepTotals


def check_calls(step: int, called: int, expected: int) -> None:
    """Raise RuntimeError where our loss was not called once for every micro-batch of the step."""
    if called != expected:
        raise RuntimeError(
            f"step {step}: the loss of axolotl-dece was called {called} times for {expected} micro-batches, so "
            "something else trained this model. Look for a plugin or key that replaces the loss or the model's "
            "forward; `axolotl dece check` lists the known ones."
        )


def check_tokens(step: int, totals: StepTotals, expected: float) -> None:
    """Raise RuntimeError where the loss saw other target tokens than the batches hold."""
    if totals.tokens != expected:
        raise RuntimeError(
            f"step {step}: the batches hold {expected:.0f} target tokens, but the loss saw {totals.tokens:.0f}; "
            "something between them adds, cuts or shifts labels, and the loss would be normalised by the wrong number."
        )


def check_finite(step: int, totals: StepTotals) -> None:
    """Raise where the trainer would log 0.0 and go on: FloatingPointError with the step."""
    for name, value in (("loss", totals.loss), ("cross-entropy", totals.ce)):
        if not math.isfinite(value):
            raise FloatingPointError(
                f"step {step}: the {name} is {value}. Lower `learning_rate`, use `bf16` instead of `fp16`, or look "
                "for broken rows; the weights of this step were not saved."
            )
