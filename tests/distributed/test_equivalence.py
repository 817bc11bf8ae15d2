"""Two ranks equal one process, for every engine: the same losses, the same alphas, the same weights."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from axolotl_dece.loss.names import IGNORE_INDEX
from tests.distributed.cells import CELLS, REFUSED, Cell, cells_of, stream
from tests.distributed.processes import run_pair
from tests.distributed.reference import Trajectory, differences, train_reference
from tests.distributed.worker import train_cells

pytestmark = [pytest.mark.slow, pytest.mark.distributed]

TOLERANCE = 1e-5
UNMISTAKABLE = 1e-3
one_process = cache(train_reference)


@pytest.fixture(scope="module")
def two_ranks(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Cell], Trajectory]:
    """What two ranks made of a cell; one pair of processes trains all cells of an engine and their twins."""

    @cache
    def run(engine: str) -> Path:
        folder = tmp_path_factory.mktemp(engine)
        cells = [twin for cell in cells_of(engine) for twin in (cell, cell.twin)]
        run_pair(folder, engine, train_cells, cells, folder)
        return folder

    def load(cell: Cell) -> Trajectory:
        folder = run(cell.engine)
        if (error := folder / f"{cell.name}.error").exists():
            raise RuntimeError(error.read_text())
        record = json.loads((folder / f"{cell.name}.json").read_text())
        return Trajectory(record["losses"], record["alphas"], load_file(folder / f"{cell.name}.safetensors"))

    return load


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.name)
def test_two_ranks_train_what_one_process_trains(cell: Cell, two_ranks: Callable[[Cell], Trajectory]) -> None:
    found = differences(two_ranks(cell), one_process(cell.tuning, cell.batch))
    assert max(found.values()) <= TOLERANCE, found


@pytest.mark.parametrize("cell", [cell.twin for cell in CELLS], ids=lambda cell: cell.name)
def test_a_mean_of_each_rank_does_not_pass_as_the_mean_of_all(
    cell: Cell, two_ranks: Callable[[Cell], Trajectory]
) -> None:
    found = differences(two_ranks(cell), one_process(cell.tuning, cell.batch))
    assert min(found["loss"], found["parameter"]) > UNMISTAKABLE, found


@pytest.mark.parametrize(("cell", "message"), REFUSED.items(), ids=[cell.name for cell in REFUSED])
def test_what_cannot_be_right_is_refused(cell: Cell, message: str, two_ranks: Callable[[Cell], Trajectory]) -> None:
    with pytest.raises(RuntimeError, match=message):
        two_ranks(cell)


@pytest.mark.parametrize("batch", ["padded", "packed"])
@pytest.mark.parametrize("tuning", ["full", "LoRA"])
def test_the_reference_is_the_same_in_double_precision(tuning: str, batch: str) -> None:
    found = differences(one_process(tuning, batch), train_reference(tuning, batch, torch.float64))
    assert max(found.values()) <= TOLERANCE / 10, found


@pytest.mark.parametrize("batch", ["padded", "packed"])
def test_the_stream_has_unequal_ranks_and_one_that_is_fully_masked(batch: str) -> None:
    steps = [[_targets(slot) for slot in slots] for slots in stream(batch)]
    for dealt in ((0, 1), (0, 2)):
        ranks = [(sum(slots[i] for i in dealt), sum(slots) - sum(slots[i] for i in dealt)) for slots in steps]
        assert all(mine != other for mine, other in ranks)
        assert ranks[1][1] == 0 < ranks[1][0]


def _targets(slot: list[tuple[list[int], list[int]]]) -> int:
    return sum(label != IGNORE_INDEX for _, labels in slot for label in labels[1:])
