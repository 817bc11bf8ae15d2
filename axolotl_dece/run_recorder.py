"""Keeps dece_run.json true: written when training begins, in every checkpoint, and when training ends."""

from __future__ import annotations

from pathlib import Path
from secrets import token_hex
from typing import Any

from accelerate.utils import broadcast_object_list
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from axolotl_dece import run_file
from axolotl_dece.data.prompt_recipe import prompt_recipes
from axolotl_dece.features import Run
from axolotl_dece.step import steps_per_epoch
from axolotl_dece.util.atomic import write_json_atomically


def draw_run_id(resumed: str | None) -> str:
    """The id of the run that goes on, else a new one; every rank has to ask, and gets the same."""
    drawn: list[str] = [resumed or token_hex(8)]
    return str(broadcast_object_list(drawn)[0])


class RunRecorder(TrainerCallback):
    """One record per output folder; a resumed run is compared with it first.

    Args:
        run: With what its features added to the parameters; the last to join is this callback.
        datasets: What the dataset entries read, from before they were loaded.
    """

    def __init__(self, run: Run, datasets: list[dict[str, Any]]) -> None:
        self.joined = run
        self.datasets = datasets
        self.run: dict[str, Any] = {}

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Describe the run, refuse to resume another one, and write."""
        joined, cfg = self.joined, self.joined.cfg
        schedule = joined.keeper.schedule
        per_epoch = steps_per_epoch(kwargs.get("train_dataloader"), args) or state.max_steps
        self.run = run_file.describe_run(
            run_id=joined.run_id,
            loss=cfg.loss,
            parameters=joined.parameters,
            planned=schedule.plan(state.max_steps, per_epoch) if schedule else [],
            config_sha256=joined.config_sha256,
            tokenizer_sha256=run_file.tokenizer_digest(joined.trainer.processing_class),
        )
        self.run |= {"prompts": prompt_recipes(cfg), "datasets": self.datasets, **joined.described}
        if state.global_step and cfg.resume_from_checkpoint:
            from axolotl_dece.resume import check_same_run

            check_same_run(cfg.resume_from_checkpoint, self.run)
        elif any(Path(args.output_dir).glob("*.safetensors")):
            from axolotl_dece.util.weights import weights_in

            self.run[run_file.WEIGHTS_BEFORE] = weights_in(Path(args.output_dir))
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
        self.run["alpha"]["last"] = self.joined.keeper.alpha if state.global_step else None
        if self.joined.trainer.is_local_process_zero():
            write_json_atomically(folder / run_file.RUN_FILE, self.run)
