"""Grids small enough to run, and results made without running."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from axolotl_dece.experiment.cell import FORMAT, Cell
from axolotl_dece.experiment.grid import Grid, read_grid
from axolotl_dece.experiment.metrics import COLUMNS

SMALL: dict[str, Any] = {
    "name": "small",
    "task": {"name": "examples.tasks.synthetic", "train_rows": 64, "test_rows": 20, "base_steps": 5},
    "config": {"num_epochs": 1},
    "arms": {"ce": {"loss": "ce"}, "dece linear 0.8": {"loss": "dece", "dece_alpha_final": 0.8}},
    "attacks": ["ripple"],
    "rates": [0.05],
    "seeds": [0, 1],
    "monitor": {"every_steps": 2, "limit": 10, "batch_size": 10},
}


def save_grid(path: Path, **changes: Any) -> Path:
    """`SMALL` with changes, as a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(SMALL | changes, sort_keys=False), encoding="utf-8")
    return path


def small_grid(folder: Path, **changes: Any) -> Grid:
    """`SMALL` with changes."""
    return read_grid(save_grid(folder / "grid.yaml", **changes))


def made_up(cell: Cell, **metrics: float | None) -> dict[str, Any]:
    """A result of `cell` that nobody measured."""
    numbers: dict[str, float | None] = dict.fromkeys(COLUMNS, 0.5) | metrics
    made = {"commit": "abc", "versions": {"axolotl-dece": "0"}, "machine": "2 cores, no GPU"}
    return {"format": FORMAT, "digest": cell.digest, "cell": vars(cell), "metrics": numbers, "made_by": made}
