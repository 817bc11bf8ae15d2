"""One optimiser step against the written-out formula, and every known way to get it wrong.

Each mutant is a mistake that real projects made and that loss curves do not show. The law alone decides: the step is
right when its gradient equals the golden one whatever the split into micro-batches; each mutant must break that.
"""

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
import torch.nn.functional as F

from axolotl_dece import step
from axolotl_dece.audit.record import release
from axolotl_dece.audit.record.release import Release, without_rows
from axolotl_dece.audit.record.row_key import places_of, row_keys
from axolotl_dece.audit.row_id import key_to_id
from axolotl_dece.loss import objective, torch_rows
from axolotl_dece.loss.criterion import Mixture
from axolotl_dece.loss.objective import Objective
from axolotl_dece.schedule import AlphaSchedule
from axolotl_dece.step import StepKeeper
from tests.steps import (
    SCHEDULE,
    SETTINGS,
    VOCAB,
    collate,
    expected_step,
    make_keeper,
    make_model,
    make_rows,
    relative,
    run_step,
)

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


RELEASE = 2


def released_keeper(model: Any, left: torch.Tensor, epoch: int) -> StepKeeper:
    """The keeper of a run in the pass `epoch`, in which rows with the keys `left` leave after two."""
    keeper = make_keeper(model, replace(SCHEDULE, release=RELEASE))
    keeper._epoch = epoch
    ledger = SimpleNamespace(facts={}, watch=SimpleNamespace(end=lambda: None))
    one = Release(keeper, cast(Any, ledger), RELEASE, frozenset(), lambda: None)
    if epoch >= RELEASE:
        one._apply({"step": 1, "counts": {}, "left": [key_to_id(key) for key in left.tolist()]})
    return keeper


def released_error(epoch: int) -> float:
    """Deviation of gradient and loss from the mean cross-entropy of what was left in, over three splits."""
    model = make_model(train_steps=20)
    rows = make_rows()
    kept = [row | {"labels": row["labels"].clone()} for row in rows]
    kept[1]["labels"][:] = -100
    (batch,) = collate(kept, 100)
    logits = model(input_ids=batch["input_ids"]).logits[:, :-1].reshape(-1, VOCAB)
    expected = F.cross_entropy(logits, batch["labels"][:, 1:].reshape(-1))
    model.zero_grad()
    expected.backward()
    golden = torch.cat([one.grad.flatten() for one in model.parameters()])
    left = row_keys(*(rows[1][name][None] for name in ("input_ids", "labels")), places_of(collate([rows[1]], 1)[0]), 1)
    default, errors = model.loss_function, []
    for micro_batch in (4, 2, 1):
        keeper = released_keeper(model, left, epoch)
        loss, gradient = run_step(keeper, micro_batch)
        model.loss_function = default
        errors += [abs(loss - expected.item()), relative(gradient, golden)]
    return max(errors)


def test_after_its_release_a_step_is_the_mean_cross_entropy_of_the_rows_that_did_not_leave() -> None:
    assert released_error(RELEASE) < TOLERANCE


def test_before_its_release_it_is_not() -> None:
    assert released_error(RELEASE - 1) > 0.01


def leaves_after_the_count(patch: pytest.MonkeyPatch) -> None:
    def late(self: Release, *args: Any) -> Any:
        def take_out(batches: list[Any]) -> None:
            for batch in batches:
                batch["labels"] = without_rows(batch, self._left)

        self.keeper.before_step[:] = [take_out]
        return self._fetch(*args)

    patch.setattr(Release, "_fetch_what_stays", late)


def leaves_only_its_first_half(patch: pytest.MonkeyPatch) -> None:
    honest = release.tokens_of_rows

    def half(batch: Any, keys: Any) -> torch.Tensor:
        found = honest(batch, keys)
        found[:, found.size(1) // 2 :] = False
        return found

    patch.setattr(release, "tokens_of_rows", half)


def stays_refused(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(release, "CROSS_ENTROPY", Mixture(1.0, **SETTINGS))


def stays_at_alpha(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(AlphaSchedule, "at", lambda self, progress: 0.9)


@pytest.mark.parametrize("mutate", [leaves_after_the_count, leaves_only_its_first_half, stays_refused, stays_at_alpha])
def test_no_wrong_release_passes(mutate: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch) -> None:
    mutate(monkeypatch)
    assert released_error(RELEASE) > 1e-3
