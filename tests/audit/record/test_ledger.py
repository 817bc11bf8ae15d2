"""The ledger's arrays against a ledger kept in plain lists, and the laws of merging."""

from __future__ import annotations

import random
from dataclasses import fields

import numpy as np
import pytest

from axolotl_dece.audit.record.ledger import HALF, Ledger

KEYS = np.array([50, -7, 30, 99], dtype=np.int64)
TARGETS = np.array([3, 1, 0, 5])
Visit = tuple[int, list[int], int]


def make_visits(seed: int, epochs: int = 5, skip: float = 0.0) -> list[Visit]:
    """(row, shares, epoch) in the order of training."""
    rng = random.Random(seed)
    visits = []
    for epoch in range(epochs):
        rows = [row for row in (0, 1, 3) if rng.random() >= skip]
        rng.shuffle(rows)
        visits += [(row, [rng.choice([3, 90, 200, 255]) for _ in range(TARGETS[row])], epoch) for row in rows]
    return visits


def keep(visits: list[Visit], at_once: int = 1) -> Ledger:
    ledger = Ledger.empty(KEYS, TARGETS)
    for epoch in sorted({visit[2] for visit in visits}):
        of_epoch = [visit for visit in visits if visit[2] == epoch]
        for at in range(0, len(of_epoch), at_once):
            part = of_epoch[at : at + at_once]
            keys = np.concatenate([np.full(len(shares), KEYS[row]) for row, shares, _ in part])
            ledger.fold(keys, np.concatenate([np.array(shares, np.uint8) for _, shares, _ in part]), epoch)
    return ledger


def tokens(ledger: Ledger, name: str, row: int) -> list[int]:
    return getattr(ledger, name)[ledger.start[row] : ledger.start[row + 1]].tolist()


def same(one: Ledger, other: Ledger) -> None:
    for field in fields(Ledger):
        np.testing.assert_allclose(getattr(one, field.name), getattr(other, field.name), rtol=1e-6, err_msg=field.name)


@pytest.mark.parametrize("at_once", [1, 3])
@pytest.mark.parametrize("seed", range(10))
def test_the_arrays_say_what_a_plain_account_says(seed: int, at_once: int) -> None:
    visits = make_visits(seed, epochs=2) + [
        (row, shares, epoch + 2) for row, shares, epoch in make_visits(seed + 99, skip=0.3)
    ]
    ledger = keep(visits, at_once)
    for row in (0, 1, 3):
        mine = [(shares, epoch) for one, shares, epoch in visits if one == row]
        learned = [2 * sum(share >= HALF for share in shares) < len(shares) for shares, _ in mine]
        held = [sum(ok and shares[at] >= HALF for (shares, _), ok in zip(mine, learned, strict=True))
                for at in range(TARGETS[row])]  # fmt: skip
        assert ledger.visits[row] == len(mine)
        assert ledger.learned[row] == sum(learned)
        assert tokens(ledger, "held", row) == held
        assert ledger.withheld[row] == pytest.approx(sum(np.mean(shares) / 255 for shares, _ in mine))
        assert tokens(ledger, "first", row) == mine[0][0]
        assert tokens(ledger, "last", row) == mine[-1][0]
        assert tokens(ledger, "previous", row) == mine[-2][0]
        epochs = (ledger.first_epoch[row], ledger.previous_epoch[row], ledger.last_epoch[row])
        assert epochs == (mine[0][1], mine[-2][1], mine[-1][1])
    assert ledger.visits[2] == 0


@pytest.mark.parametrize("seed", range(10))
def test_two_ranks_merged_are_one(seed: int) -> None:
    visits = make_visits(seed, epochs=6)
    rng = random.Random(seed)
    side = [rng.random() < 0.5 for _ in visits]
    ranks = [
        keep([visit for visit, here in zip(visits, side, strict=True) if here == which]) for which in (True, False)
    ]
    ranks[0].add(ranks[1])
    same(ranks[0], keep(visits))


def test_a_row_shown_to_two_ranks_in_one_epoch_has_one_last_visit() -> None:
    first = keep([(0, [9, 9, 9], 0), (0, [1, 2, 3], 1)])
    first.add(keep([(0, [1, 2, 3], 1)]))
    assert (first.previous_epoch[0], first.last_epoch[0]) == (0, 1)
    assert (tokens(first, "previous", 0), tokens(first, "last", 0)) == ([9, 9, 9], [1, 2, 3])


def test_a_second_time_in_an_epoch_is_no_second_visit() -> None:
    ledger = keep([(0, [255, 0, 0], 0), (0, [200, 10, 0], 0)])
    assert (ledger.visits[0], tokens(ledger, "held", 0)) == (1, [1, 0, 0])
    assert (tokens(ledger, "first", 0), tokens(ledger, "last", 0)) == ([255, 0, 0], [200, 10, 0])


def test_equal_rows_side_by_side_are_one_visit() -> None:
    ledger = Ledger.empty(KEYS, TARGETS)
    ledger.fold(np.full(6, KEYS[0]), np.array([9, 9, 9, 255, 0, 0], np.uint8), 0)
    assert (ledger.visits[0], tokens(ledger, "last", 0)) == (1, [255, 0, 0])


def test_a_token_is_not_held_back_alone_while_its_row_is_not_learned() -> None:
    ledger = keep([(3, [255, 255, 255, 0, 0], 0), (3, [255, 255, 0, 0, 0], 1)])
    assert tokens(ledger, "held", 3) == [1, 1, 0, 0, 0]


def test_more_visits_than_a_byte_counts_stay_at_its_end() -> None:
    ledger = keep([(0, [255, 0, 0], epoch) for epoch in range(300)])
    assert (ledger.visits[0], tokens(ledger, "held", 0)) == (300, [255, 0, 0])
    ledger.add(keep([(0, [255, 0, 0], 300)]))
    assert tokens(ledger, "held", 0) == [255, 0, 0]


@pytest.mark.parametrize("keys", [[50, 50, 50, 77], [50, 50], [30]], ids=["unknown", "cut", "without targets"])
def test_a_row_that_is_not_in_the_set_stops_the_run(keys: list[int]) -> None:
    ledger = Ledger.empty(KEYS, TARGETS)
    with pytest.raises(ValueError, match="not in the training set, or a part of one"):
        ledger.fold(np.array(keys), np.zeros(len(keys), np.uint8), 0)
    assert not ledger.visits.any()


def test_ledgers_of_different_sets_are_not_merged() -> None:
    with pytest.raises(ValueError, match="different training sets"):
        keep([]).add(Ledger.empty(KEYS[:2], TARGETS[:2]))


def test_memory_does_not_grow_with_the_run() -> None:
    def size(ledger: Ledger) -> int:
        return sum(array.nbytes for array in vars(ledger).values())

    assert size(keep(make_visits(0, epochs=2))) == size(keep(make_visits(0, epochs=40)))
