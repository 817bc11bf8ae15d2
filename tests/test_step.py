"""One optimiser step against the written-out formula, and every known way to get it wrong.

Each mutant is a mistake that real projects made and that loss curves do not show. The law alone decides: the step is
right when its gradient equals the golden one whatever the split into micro-batches; each mutant must break that.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from axolotl_dece import step
from axolotl_dece.loss import objective, torch_rows
from axolotl_dece.loss.criterion import Mixture
from axolotl_dece.loss.objective import Objective
from axolotl_dece.schedule import AlphaSchedule
from axolotl_dece.step import StepKeeper
from tests.steps import VOCAB, expected_step, make_keeper, make_model, relative, run_step

TOLERANCE = 1e-6
"""The step is fp64, but its one normaliser is an fp32 number."""


@pytest.fixture(scope="module")
def trained() -> Any:
    return make_model()


def worst_error(trained: Any) -> float:
    """Largest deviation of loss and gradient from the golden step over three splits of the same rows."""
    golden_loss, golden_gradient = expected_step(trained)
    default, errors = trained.loss_function, []
    for micro_batch in (4, 2, 1):
        loss, gradient = run_step(make_keeper(trained), micro_batch)
        trained.loss_function = default
        errors += [abs(loss - golden_loss), relative(gradient, golden_gradient)]
    return max(errors)


def test_a_step_equals_the_formula_however_its_rows_are_split(trained: Any) -> None:
    assert worst_error(trained) < TOLERANCE


def no_shift(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(objective, "next_tokens", lambda labels, shift_labels=None: labels)


def double_shift(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(objective, "next_tokens", lambda labels, _=None: F.pad(labels, (0, 2), value=-100)[..., 2:])


def mean_per_micro_batch(patch: pytest.MonkeyPatch) -> None:
    honest = Objective.__call__

    def call(self: Objective, logits: Any, labels: Any = None, vocab_size: Any = None, **kwargs: Any) -> Any:
        total = honest(self, logits, labels, vocab_size, **kwargs) / self._scale
        return total / (labels[:, 1:] != -100).sum().clamp(min=1)

    patch.setattr(Objective, "__call__", call)


def mean_over_all_positions(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(step, "count_targets", lambda batch: torch.tensor(batch["labels"].numel()))


def unshifted_count(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(step, "count_targets", lambda batch: (batch["labels"] != -100).sum() + 1)


def sum_without_a_mean(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(step, "count_targets", lambda batch: torch.tensor(0))


def forgotten_accumulation_factor(patch: pytest.MonkeyPatch) -> None:
    honest = Objective.begin_step
    patch.setattr(Objective, "begin_step", lambda self, mixture, scale: honest(self, mixture, scale / 2))


def alpha_stuck_at_one(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(StepKeeper, "_criterion", lambda self: replace(self.objective.mixture, alpha=1.0))


def alpha_one_step_late(patch: pytest.MonkeyPatch) -> None:
    honest = AlphaSchedule.at
    patch.setattr(AlphaSchedule, "at", lambda self, now: honest(self, replace(now, step=now.step - 1)))


def smoothing_ignored(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("tests.steps.SETTINGS", {"label_smoothing": 0.0, "prob_floor": 1e-7})
    honest = expected_step
    golden = honest.__globals__["dece_rows_reference"]
    patch.setitem(
        honest.__globals__, "dece_rows_reference", lambda *a, **k: golden(*a, **(k | {"label_smoothing": 0.05}))
    )


def coefficients_mutant(**changes: Callable[[Any], Any]) -> Callable[[pytest.MonkeyPatch], None]:
    """Change what the loss makes of a mixture: each value is a function of the honest coefficients."""

    def mutate(patch: pytest.MonkeyPatch) -> None:
        honest = torch_rows._Coefficients.of

        def of(mixture: Mixture, logits: Any) -> Any:
            found = honest(mixture, logits)
            return replace(found, **{name: change(found) for name, change in changes.items()})

        patch.setattr(torch_rows._Coefficients, "of", of)

    return mutate


MUTANTS = {
    "no shift": no_shift,
    "double shift": double_shift,
    "mean per micro-batch": mean_per_micro_batch,
    "mean over all positions": mean_over_all_positions,
    "count not shifted": unshifted_count,
    "sum without a mean": sum_without_a_mean,
    "accumulation factor forgotten": forgotten_accumulation_factor,
    "alpha stuck at 1": alpha_stuck_at_one,
    "alpha one step late": alpha_one_step_late,
    "smoothing ignored": smoothing_ignored,
    "eps / V instead of eps / (V - 1)": coefficients_mutant(q_rest=lambda c: c.q_rest * (VOCAB - 1) / VOCAB),
    "clamp at 1e-4": coefficients_mutant(floor=lambda c: 1e-4),
    "no clamp": coefficients_mutant(floor=lambda c: 1e-12),
    "1 instead of 1 - eps": coefficients_mutant(q_target=lambda c: 1.0),
}


@pytest.mark.parametrize("mutant", MUTANTS.values(), ids=MUTANTS.keys())
def test_every_known_mistake_breaks_the_law(trained: Any, monkeypatch: pytest.MonkeyPatch, mutant: Any) -> None:
    mutant(monkeypatch)
    assert worst_error(trained) > 10 * TOLERANCE
