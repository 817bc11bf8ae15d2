"""Keeps dece_run.json true: written when training begins, in every checkpoint, and when training ends."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from axolotl.utils.dict import DictDefault
from axolotl.utils.train import determine_last_checkpoint
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from axolotl_dece import run_file
from axolotl_dece.audit.decisions import read_decisions
from axolotl_dece.data.names import describe_base, describe_datasets
from axolotl_dece.data.prompt_recipe import prompt_recipes
from axolotl_dece.loss.names import LOSSES
from axolotl_dece.step import StepKeeper, steps_per_epoch
from axolotl_dece.util.atomic import write_json_atomically


class RunRecorder(TrainerCallback):
    """One manifest per output folder; a resumed run is compared with it first.

    Args:
        cfg: The validated config.
        trainer: Says which process writes, and knows the tokenizer.
        keeper: Knows the schedule and the alpha of the last step.
        config_sha256: Digest of the config as the user wrote it.
    """

    def __init__(self, cfg: DictDefault, trainer: Trainer, keeper: StepKeeper, config_sha256: str) -> None:
        self.cfg = cfg
        self.trainer = trainer
        self.keeper = keeper
        self.config_sha256 = config_sha256
        self.run: dict[str, Any] = {}

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Describe the run, refuse to resume another one, and write."""
        schedule = self.keeper.schedule
        per_epoch = steps_per_epoch(kwargs.get("train_dataloader"), args) or state.max_steps
        self.run = run_file.describe_run(
            loss=self.cfg.loss,
            parameters=_parameters(self.cfg),
            planned=schedule.plan(state.max_steps, per_epoch) if schedule else [],
            config_sha256=self.config_sha256,
            tokenizer_sha256=run_file.tokenizer_digest(self.trainer.processing_class),
        )
        self.run["prompts"] = prompt_recipes(self.cfg)
        if self.trainer.is_local_process_zero():  # it alone writes, and digests read every byte
            self.run |= {"datasets": describe_datasets(self.cfg), "base_model": describe_base(self.cfg)}
        if state.global_step and self.cfg.resume_from_checkpoint:
            run_file.check_same_run(self.cfg.resume_from_checkpoint, self.run)
        self._write(Path(args.output_dir), state)

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """A copy in the checkpoint, and the folder's own brought up to date."""
        self._write(Path(args.output_dir) / f"checkpoint-{state.global_step}", state)
        self._write(Path(args.output_dir), state)

    def on_push_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """The trainer pushes a checkpoint before it says that it was saved."""
        if (Path(args.output_dir) / f"checkpoint-{state.global_step}").is_dir():
            self.on_save(args, state, control)

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Only now is the run finished; an interrupted one says `running` for ever."""
        self.run["status"] = "finished"
        self._write(Path(args.output_dir), state)

    def _write(self, folder: Path, state: TrainerState) -> None:
        self.run["step"] = state.global_step
        self.run["alpha"]["last"] = self.keeper.alpha if state.global_step else None
        if self.trainer.is_local_process_zero():
            write_json_atomically(folder / run_file.RUN_FILE, self.run)


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
    if named and not (Path(named) / run_file.RUN_FILE).is_file():
        raise ValueError(
            f"`resume_from_checkpoint: {named}` has no {run_file.RUN_FILE}: it was not trained with axolotl-dece, or "
            "its run was killed while it saved; resume from another checkpoint"
        )
    if named or not cfg.auto_resume_from_checkpoints:
        return None
    found = determine_last_checkpoint(cfg, update=False)
    whole = [folder for folder in run_file.checkpoints(Path(cfg.output_dir)) if (folder / run_file.RUN_FILE).is_file()]
    if found is None:
        return None
    if not whole:
        cfg.auto_resume_from_checkpoints = False
        return f"{found} was not saved to its end, and there is none before it: training starts anew"
    cfg.resume_from_checkpoint = str(whole[-1])
    if cfg.resume_from_checkpoint == found:
        return None
    return f"{found} was not saved to its end: training resumes from {cfg.resume_from_checkpoint}"


def _parameters(cfg: DictDefault) -> dict[str, Any]:
    keys = (*LOSSES[cfg.loss].keys, "dece_poison")
    parameters = {key: cfg[key] for key in keys if cfg[key] is not None}
    if cfg.dece_decisions:
        # what it says, not where it lies
        parameters["dece_decisions"] = read_decisions(Path(cfg.dece_decisions)).sha256
    return parameters
