"""Weights that lay in a folder before its run began are not that run's, and its record says nothing about them."""

from __future__ import annotations

from pathlib import Path

from axolotl_dece.run_file import RUN_FILE, WEIGHTS_BEFORE
from axolotl_dece.run_reader import read_run
from axolotl_dece.util.weights import weights_in


def refuse_older_weights(folder: Path) -> None:
    """Raise ValueError where a run was stopped before it saved, and the folder still holds what lay there before.

    A person's commands ask, `card` and `evaluate`; a run that trains puts its checkpoints' weights there as it pushes.
    """
    run = read_run(folder) or {}
    before = run.get(WEIGHTS_BEFORE)
    if before and run.get("status") == "running" and before == weights_in(folder):
        raise ValueError(
            f"{folder}: {', '.join(before)} lay there before the run of {RUN_FILE} began, and that run stopped before "
            "it saved its own; train again to the end, or give the folder of one of its checkpoints"
        )
