"""Which checkpoint a run goes on from, and whether it is one of this run; imported when a run is resumed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from axolotl.utils.dict import DictDefault
from axolotl.utils.train import determine_last_checkpoint

from axolotl_dece.checkpoints import checkpoints
from axolotl_dece.run_file import RUN_FILE, RUN_ID
from axolotl_dece.run_reader import read_run


def choose_checkpoint(cfg: DictDefault) -> str | None:
    """Where an automatic resume really begins: the last checkpoint that was saved to its end.

    A run that is killed while it saves leaves a folder that looks like any other, and the trainer goes on from it
    without the optimizer's state, or from nothing. Our manifest is the last file of a checkpoint.

    Returns:
        What was done about it, in a sentence; None where there was nothing to do.

    Raises:
        ValueError: `resume_from_checkpoint` names such a folder.
    """
    named = cfg.resume_from_checkpoint
    if named and not (Path(named) / RUN_FILE).is_file():
        raise ValueError(
            f"`resume_from_checkpoint: {named}` has no {RUN_FILE}: it was not trained with axolotl-dece, or "
            "its run was killed while it saved; resume from another checkpoint"
        )
    if named or not cfg.auto_resume_from_checkpoints:
        return None
    found = determine_last_checkpoint(cfg, update=False)
    whole = [folder for folder in checkpoints(Path(cfg.output_dir)) if (folder / RUN_FILE).is_file()]
    if found is None:
        return None
    if not whole:
        cfg.auto_resume_from_checkpoints = False
        return f"{found} was not saved to its end, and there is none before it: training starts anew"
    cfg.resume_from_checkpoint = str(whole[-1])
    if cfg.resume_from_checkpoint == found:
        return None
    return f"{found} was not saved to its end: training resumes from {cfg.resume_from_checkpoint}"


def resumed_run_id(checkpoint: str | None) -> str | None:
    """The id of the run that goes on from `checkpoint`; None where there is none, or it had none yet."""
    return ((read_run(checkpoint) if checkpoint else None) or {}).get(RUN_ID)


def check_same_run(checkpoint: str | Path, run: Mapping[str, Any]) -> None:
    """Raise ValueError when the checkpoint was trained with another loss or other parameters than `run`."""
    # a run killed while it saved may have a checkpoint without its copy, but never an output folder without one
    before = read_run(checkpoint) or read_run(Path(checkpoint).parent)
    remedy = "resume with the config it was trained with, or start anew with `base_model` set to its weights"
    if before is None:
        raise ValueError(f"{checkpoint} has no {RUN_FILE}, so it was not trained with axolotl-dece; {remedy}")
    for key in ("loss", "parameters"):
        if before[key] != run[key]:
            raise ValueError(f"{checkpoint} was trained with {key} {before[key]}, this run has {run[key]}; {remedy}")
