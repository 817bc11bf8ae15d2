"""A mixture of experts keeps its router loss, averaged over micro-batches and ranks as the model means it."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import pytest
from safetensors.torch import load_file

from tests.distributed.cells import Cell
from tests.distributed.processes import run_pair
from tests.distributed.reference import Trajectory, differences
from tests.distributed.routers import RouterCell, train_router_cells, train_router_reference

pytestmark = [pytest.mark.slow, pytest.mark.distributed]

CELLS = [
    RouterCell(family, Cell("DDP", "full", head, accumulation, "padded"))
    for family in ("Mixtral", "Qwen3-MoE")
    for head in ("logits", "fused")
    for accumulation in (1, 2)
]
TWINS = [RouterCell(routed.family, routed.cell.twin) for routed in CELLS]
one_process = cache(train_router_reference)


@pytest.fixture(scope="module")
def trained_experts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder where one pair of ranks left all cells and their twins."""
    folder = tmp_path_factory.mktemp("experts")
    run_pair(folder, "DDP", train_router_cells, [*CELLS, *TWINS], folder)
    return folder


def compare(routed: RouterCell, folder: Path) -> dict[str, float]:
    if (error := folder / f"{routed.name}.error").exists():
        raise RuntimeError(error.read_text())
    record = json.loads((folder / f"{routed.name}.json").read_text())
    found = Trajectory(record["losses"], record["alphas"], load_file(folder / f"{routed.name}.safetensors"))
    return differences(found, one_process(routed.family, routed.cell.accumulation))


@pytest.mark.parametrize("routed", CELLS, ids=lambda routed: routed.name)
def test_two_ranks_train_routers_as_one_process_does(routed: RouterCell, trained_experts: Path) -> None:
    found = compare(routed, trained_experts)
    assert max(found.values()) <= 1e-5, found


@pytest.mark.parametrize("routed", TWINS, ids=lambda routed: routed.name)
def test_a_router_loss_that_is_summed_does_not_pass(routed: RouterCell, trained_experts: Path) -> None:
    found = compare(routed, trained_experts)
    assert min(found["loss"], found["parameter"]) > 1e-3, found
