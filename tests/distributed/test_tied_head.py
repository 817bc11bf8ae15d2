"""A head that is also the embedding: two ranks with the fused head end where two ranks with logits end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from safetensors.torch import load_file

from tests.distributed.cells import Cell
from tests.distributed.processes import run_pair
from tests.distributed.reference import Trajectory, build_model, differences
from tests.distributed.worker import make_trainer, train_and_save

pytestmark = [pytest.mark.slow, pytest.mark.distributed]


def train_both(cells: list[Cell], folder: Path) -> None:
    for cell in cells:
        trainer = make_trainer(cell, folder, build_model("full", tie_word_embeddings=True))
        train_and_save(cell, trainer, folder / cell.name)


def load(cell: Cell, folder: Path) -> Trajectory:
    record = json.loads((folder / f"{cell.name}.json").read_text())
    return Trajectory(record["losses"], record["alphas"], load_file(folder / f"{cell.name}.safetensors"))


@pytest.mark.parametrize("engine", ["DDP", "ZeRO-3", "FSDP2"])
def test_a_tied_head_trains_the_same_fused_and_on_logits(engine: str, tmp_path: Path) -> None:
    on_logits, fused = (Cell(engine, "full", head, 2, "padded") for head in ("logits", "fused"))
    run_pair(tmp_path, engine, train_both, [on_logits, fused], tmp_path)
    found, expected = load(fused, tmp_path), load(on_logits, tmp_path)
    assert "lm_head.weight" not in expected.parameters
    assert max(differences(found, expected).values()) <= 1e-5
