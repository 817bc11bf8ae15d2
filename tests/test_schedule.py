"""alpha over training: values, ends, and the same again after a restart."""

import pytest

from axolotl_dece.schedule import AlphaSchedule, Progress, ScheduleName


def test_epoch_starts_at_the_base_itself_and_multiplies_every_epoch() -> None:
    schedule = AlphaSchedule("epoch", 0.985)
    assert [schedule.at(Progress(0, 10, epoch)) for epoch in range(3)] == [0.985, 0.985**2, 0.985**3]


def test_linear_ends_exactly_at_its_value_and_leaves_one_at_the_first_step() -> None:
    schedule = AlphaSchedule("linear", 0.8)
    assert schedule.at(Progress(0, 4, 0)) == pytest.approx(0.95)
    assert schedule.at(Progress(3, 4, 0)) == 0.8
    assert schedule.at(Progress(9, 4, 0)) == 0.8, "steps past the plan stay at the end"


def test_linear_follows_steps_and_not_epochs() -> None:
    schedule = AlphaSchedule("linear", 0.8)
    assert schedule.at(Progress(2, 4, 0)) == schedule.at(Progress(2, 4, 7))


def test_constant_stays() -> None:
    assert {AlphaSchedule("constant", 0.9).at(Progress(s, 9, s)) for s in range(9)} == {0.9}


@pytest.mark.parametrize("name", ["epoch", "linear", "constant"])
def test_alpha_depends_on_saved_progress_alone(name: str) -> None:
    """A resumed run asks in another order and on another object, and gets the same bits."""
    steps = [Progress(step, 17, step // 5) for step in range(17)]
    first = [AlphaSchedule(name, 0.9).at(p).hex() for p in steps]
    again = AlphaSchedule(name, 0.9)
    assert [again.at(p).hex() for p in reversed(steps)] == first[::-1]


@pytest.mark.parametrize(
    ("total_steps", "steps_per_epoch", "expected"),
    [
        (1, 2, [(0, 0.9)]),
        (5, 2, [(0, 0.9), (1, 0.9), (2, 0.81), (3, 0.81), (4, 0.729)]),
    ],
    ids=["half an epoch", "two and a half epochs"],
)
def test_plan_of_the_epoch_schedule(
    total_steps: int, steps_per_epoch: float, expected: list[tuple[int, float]]
) -> None:
    found = AlphaSchedule("epoch", 0.9).plan(total_steps, steps_per_epoch)
    assert found == [(step, pytest.approx(alpha)) for step, alpha in expected]


@pytest.mark.parametrize("name", ["epoch", "linear", "constant"])
def test_from_its_release_on_alpha_is_one_and_before_as_without(name: ScheduleName) -> None:
    steps = [Progress(step, 12, step // 3) for step in range(12)]
    plain, released = (AlphaSchedule(name, 0.9, release) for release in (None, 2))
    assert [released.at(p) for p in steps] == [plain.at(p) for p in steps[:6]] + [1.0] * 6


def test_a_schedule_says_its_release() -> None:
    assert str(AlphaSchedule("epoch", 0.95, 2)) == "0.95 ** epoch, from epoch 3 on 1"


@pytest.mark.parametrize("name", ["epoch", "linear", "constant"])
def test_a_run_without_a_step_has_no_plan(name: ScheduleName) -> None:
    assert AlphaSchedule(name, 0.8).plan(0, 16) == []


def test_a_long_plan_is_shown_at_eleven_steps_with_both_ends() -> None:
    plan = AlphaSchedule("linear", 0.8).plan(1000, 100)
    assert len(plan) == 11
    assert (plan[0][0], plan[-1]) == (0, (999, 0.8))
