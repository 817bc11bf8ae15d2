"""Learning curves of a run, from the state its trainer saved."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from axolotl_dece.checkpoints import checkpoints

_STATE_FILE = "trainer_state.json"
_CURVES = ("loss", "eval_loss", "dece/")


def read_curves(run: Path) -> list[dict[str, float]]:
    """What the trainer logged, as far as it is a learning curve: one dict per log entry, with its `step`.

    Args:
        run: `output_dir` of a training run; its last checkpoint is looked into where it has no state of its own.
    """
    state = last_state(run)
    history: list[dict[str, Any]] = state.get("log_history", [])
    curves = [{key: entry[key] for key in entry if key == "step" or key.startswith(_CURVES)} for entry in history]
    return [entry for entry in curves if len(entry) > 1]


def last_alpha(curves: list[dict[str, float]]) -> float | None:
    """The last alpha that was logged, or None."""
    return next((entry["dece/alpha"] for entry in reversed(curves) if "dece/alpha" in entry), None)


def last_state(run: Path) -> dict[str, Any]:
    """The trainer's state of the last checkpoint in `run`; empty where there is none."""
    found = [folder / _STATE_FILE for folder in (run, *checkpoints(run))]
    states = [json.loads(path.read_text(encoding="utf-8")) for path in found if path.is_file()]
    return max(states, key=lambda state: int(state.get("global_step", 0)), default={})
