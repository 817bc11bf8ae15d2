"""Learning curves of a run, from the state its trainer saved."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from axolotl_dece.checkpoints import checkpoints
from axolotl_dece.run_file import RUN_ID
from axolotl_dece.run_reader import read_run
from axolotl_dece.util.json_text import read_object

_STATE_FILE = "trainer_state.json"
_CURVES = ("loss", "eval_loss", "dece/")
# what tells two runs apart where their records carry no id
_SAME = ("loss", "parameters", "config_digest", "tokenizer_sha256")


def read_curves(run: Path) -> list[dict[str, float]]:
    """What the trainer logged, as far as it is a learning curve: one dict per log entry, with its `step`.

    Args:
        run: `output_dir` of a training run; its last checkpoint is looked into where it has no state of its own.
    """
    state = last_state(run)
    history: list[dict[str, Any]] = state.get("log_history", [])
    curves = [{key: entry[key] for key in entry if key == "step" or key.startswith(_CURVES)} for entry in history]
    return [entry for entry in curves if len(entry) > 1]


def last_state(run: Path) -> dict[str, Any]:
    """The trainer's last state of the run in the folder `run`; empty where there is none.

    A second run into the folder of an older one leaves the older one's checkpoints there until it overwrites them.
    They are told by the record in each, and by steps that the run in the folder has not reached.
    """
    states = list(_states(run, read_run(run)))
    return max(states, key=lambda state: int(state.get("global_step", 0)), default={})


def _states(run: Path, record: Mapping[str, Any] | None) -> Iterator[dict[str, Any]]:
    for folder in (run, *checkpoints(run)):
        path = folder / _STATE_FILE
        if not path.is_file():
            continue
        own = read_run(folder)
        if record and (own is None or not _is_same_run(own, record)):
            continue
        state = read_object(path, "resume the run, or evaluate a checkpoint of it")
        if record is None or int(state.get("global_step", 0)) <= record["step"]:
            yield state


def _is_same_run(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two records are of one run: by their ids, else, as written before 0.1.0, by what was trained how."""
    keys = (RUN_ID,) if RUN_ID in one and RUN_ID in other else _SAME
    return all(one.get(key) == other.get(key) for key in keys)
