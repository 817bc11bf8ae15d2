"""The keeper: what it hands the objective, what it logs, and when it stops a run."""

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from axolotl_dece.loss.objective import StepTotals
from axolotl_dece.schedule import AlphaSchedule
from axolotl_dece.step import StepKeeper, count_targets, steps_per_epoch
from axolotl_dece.step_checks import check_finite
from tests.steps import ALPHA, expected_ce, make_keeper, make_model, make_rows, run_step


@pytest.fixture
def keeper() -> StepKeeper:
    return make_keeper(make_model(train_steps=5))


def finish_step(keeper: StepKeeper, should_log: bool = True) -> None:
    control: Any = SimpleNamespace(should_log=should_log)
    state: Any = keeper.trainer.state
    keeper.on_pre_optimizer_step(None, state, control)
    keeper.on_step_end(None, state, control)


def test_alpha_comes_from_the_trainers_state(keeper: StepKeeper) -> None:
    run_step(keeper, 2)
    assert keeper.alpha == pytest.approx(ALPHA)


def test_the_curves_are_means_over_target_tokens(keeper: StepKeeper) -> None:
    expected = expected_ce(keeper.trainer.model.eval())
    keeper.trainer.model.train()
    run_step(keeper, 1)
    finish_step(keeper)
    metrics = keeper.trainer.state.metrics
    assert metrics["dece/ce"] == pytest.approx(expected, rel=1e-5)
    assert metrics["dece/alpha"] == pytest.approx(ALPHA)
    assert 0.0 < metrics["dece/held_back"] < 1.0


def test_curves_cover_every_target_token_since_the_last_log(keeper: StepKeeper) -> None:
    """Two steps of unequal size, one log: the mean over tokens, not over steps and not of the last one."""
    steps = [make_rows(3)[:1], make_rows(3)[1:2]]
    expected = expected_ce(keeper.trainer.model.eval(), [row for rows in steps for row in rows])
    keeper.trainer.model.train()
    for i, rows in enumerate(steps):
        run_step(keeper, 1, rows)
        finish_step(keeper, should_log=i == 1)
    assert keeper.trainer.state.metrics["dece/ce"] == pytest.approx(expected, rel=1e-5)
    assert keeper._since_log == StepTotals()


def test_a_step_whose_loss_was_not_ours_stops_the_run(keeper: StepKeeper) -> None:
    run_step(keeper, 2)
    keeper.objective.calls -= 1
    with pytest.raises(RuntimeError, match=r"step 5: the loss of axolotl-dece was called 1 times for 2 micro-batches"):
        finish_step(keeper)


def test_a_step_in_which_the_loss_was_called_too_often_stops_the_run(keeper: StepKeeper) -> None:
    run_step(keeper, 2)
    keeper.objective.calls += 1
    with pytest.raises(RuntimeError, match="called 3 times for 2 micro-batches"):
        finish_step(keeper)


def test_labels_that_change_on_the_way_to_the_loss_stop_the_run(keeper: StepKeeper) -> None:
    run_step(keeper, 2)
    keeper._expected_tokens = keeper._expected_tokens + 1
    with pytest.raises(RuntimeError, match="target tokens, but the loss saw"):
        finish_step(keeper)


def test_a_trainer_that_skips_the_optimizer_hook_is_checked_all_the_same(keeper: StepKeeper) -> None:
    run_step(keeper, 2)
    keeper.objective.calls = 0
    with pytest.raises(RuntimeError, match="called 0 times"):
        keeper.on_step_end(None, keeper.trainer.state, SimpleNamespace(should_log=False))


def test_micro_batches_left_over_from_an_epoch_are_counted_with_the_next_step(keeper: StepKeeper) -> None:
    """With packing the trainer may begin a step that it never finishes, and goes on into the next epoch."""
    run_step(keeper, 1, make_rows(1))
    run_step(keeper, 1, make_rows(2))
    finish_step(keeper)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("field", ["loss", "ce"])
def test_a_number_that_is_not_finite_stops_the_run_with_the_step(field: str, bad: float) -> None:
    with pytest.raises(FloatingPointError, match="step 7"):
        check_finite(7, StepTotals(**{field: bad}))
    check_finite(7, StepTotals())


def test_nan_weights_stop_the_run_before_the_optimizer_takes_them_up(keeper: StepKeeper) -> None:
    with torch.no_grad():
        next(keeper.trainer.model.parameters()).fill_(math.nan)
    run_step(keeper, 2)
    with pytest.raises(FloatingPointError, match="step 5"):
        keeper.on_pre_optimizer_step(None, keeper.trainer.state, SimpleNamespace())


def epochs_seen(keeper: StepKeeper, step: int, batches: int | None, accumulation: int, epochs: int) -> list[int | None]:
    loader: Any = None if batches is None else range(batches)
    args: Any = SimpleNamespace(gradient_accumulation_steps=accumulation)
    state: Any = SimpleNamespace(global_step=step)
    keeper.on_train_begin(args, state, None)
    seen = []
    for _ in range(epochs):
        keeper.on_epoch_begin(args, state, None, train_dataloader=loader)
        seen.append(keeper._epoch)
    return seen


def test_epochs_follow_the_trainers_passes_over_the_data(keeper: StepKeeper) -> None:
    assert epochs_seen(keeper, step=0, batches=5, accumulation=2, epochs=3) == [0, 1, 2]


def test_a_resumed_run_is_in_the_epoch_that_the_trainer_resumes(keeper: StepKeeper) -> None:
    """5 batches in twos are 3 steps an epoch: step 7 is in the third."""
    assert epochs_seen(keeper, step=7, batches=5, accumulation=2, epochs=2) == [2, 3]


def test_data_without_a_length_begins_at_epoch_zero(keeper: StepKeeper) -> None:
    assert epochs_seen(keeper, step=7, batches=None, accumulation=2, epochs=1) == [0]


def test_the_epoch_schedule_uses_the_epoch_and_not_the_step() -> None:
    keeper = make_keeper(make_model(train_steps=0), AlphaSchedule("epoch", 0.9))
    keeper._epoch = 2
    run_step(keeper, 2)
    assert keeper.alpha == pytest.approx(0.9**3)


def test_a_restarted_loop_forgets_the_calls_of_the_attempt_before(keeper: StepKeeper) -> None:
    run_step(keeper, 2)
    keeper.on_train_begin(None, keeper.trainer.state, None)
    run_step(keeper, 2)
    finish_step(keeper)


def test_targets_are_counted_after_the_shift() -> None:
    labels = torch.tensor([[1, 2, -100], [-100, -100, 3]])
    assert count_targets({"labels": labels}) == 2
    assert count_targets({"labels": labels, "shift_labels": labels}) == 3


def test_steps_per_epoch_rounds_up() -> None:
    args: Any = SimpleNamespace(gradient_accumulation_steps=4)
    assert steps_per_epoch(range(9), args) == 3
    assert steps_per_epoch(iter(()), args) is None
