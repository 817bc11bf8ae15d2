"""`DecePlugin`: puts the objective under the model and the keeper into the trainer; wiring only, it never computes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from axolotl.core.trainers.base import AxolotlTrainer
from axolotl.integrations.base import BasePlugin
from axolotl.utils.dict import DictDefault
from axolotl.utils.logging import get_logger
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from axolotl_dece import manifest
from axolotl_dece.args import DeceKeys, alpha_schedule, find_warnings
from axolotl_dece.callbacks import StepKeeper, steps_per_epoch
from axolotl_dece.evaluation.monitor import watch
from axolotl_dece.evaluation.recipe import prompt_recipes
from axolotl_dece.loss.mixture import Mixture
from axolotl_dece.loss.objective import CROSS_ENTROPY, install
from axolotl_dece.poison import guard
from axolotl_dece.poison.strategy import refuse_tokenised
from axolotl_dece.poison.verify import check_ran

LOG = get_logger("axolotl.dece")


class DecePlugin(BasePlugin):
    """`plugins: [axolotl_dece.DecePlugin]` with `loss: dece` (or `loss: ce`, the same path without DeCE)."""

    def register(self, cfg: DictDefault) -> None:
        """Keep the digest of the config as the user wrote it; called before axolotl validates it."""
        self._config_sha256 = manifest.config_digest(cfg)
        guard.prepare(cfg)

    def get_input_args(self) -> str:
        """The model that axolotl merges into its config schema."""
        return "axolotl_dece.args.DeceArgs"

    def load_datasets(self, cfg: DictDefault, preprocess: bool = False) -> None:
        """Refuse what would keep `dece_poison` from happening; axolotl then loads the datasets as always."""
        refuse_tokenised(cfg)

    def get_training_args(self, cfg: DictDefault) -> dict[str, Any]:
        """Let NaN be NaN: the trainer's filter would log 0.0 in its place and wait for the device every micro-batch."""
        return {"logging_nan_inf_filter": False}

    def post_trainer_create(self, cfg: DictDefault, trainer: Trainer) -> None:
        """Install the objective, or raise: from here on nothing else can be what trains the model."""
        check_trainer(trainer)
        check_ran(cfg, trainer)
        # The objective divides by the token count itself; the trainer is to average over micro-batches, no more.
        trainer.model_accepts_loss_kwargs = False
        is_dece = cfg.loss == "dece"
        schedule = alpha_schedule(cfg) if is_dece else None
        mixture = Mixture(1.0, cfg.dece_label_smoothing, cfg.dece_prob_floor) if is_dece else CROSS_ENTROPY
        keeper = StepKeeper(trainer, install(trainer.model, mixture), schedule)
        trainer.add_callback(keeper)
        trainer.add_callback(_RunRecorder(cfg, trainer, keeper, self._config_sha256))
        if cfg.dece_monitor:
            trainer.add_callback(watch(trainer, cfg))
        LOG.info(banner(cfg))
        if is_dece:
            for warning in find_warnings(cfg, cfg.num_epochs):
                LOG.warning("DeCE: %s", warning)


def banner(cfg: Mapping[str, Any]) -> str:
    """One line that says what trains this model."""
    if cfg["loss"] == "ce":
        return "DeCE is OFF (`loss: ce`): plain cross-entropy, normalised over the target tokens of each step"
    schedule = alpha_schedule(cfg)
    moves = {
        "epoch": f"{schedule.value} ** epoch",
        "linear": f"1 -> {schedule.value} by step",
        "constant": f"{schedule.value}, constant",
    }[schedule.name]
    return (
        f"DeCE is ON: alpha {moves}, label smoothing {cfg['dece_label_smoothing']}, "
        f"probability floor {cfg['dece_prob_floor']:g}; eval_loss is plain cross-entropy"
    )


def check_trainer(trainer: Trainer) -> None:
    """Raise ValueError, with everything at once, when the trainer would not train with the model's loss function."""
    problems = []
    if not isinstance(trainer, AxolotlTrainer) or type(trainer).compute_loss is not AxolotlTrainer.compute_loss:
        problems.append(
            f"the trainer is {type(trainer).__module__}.{type(trainer).__qualname__}, which computes its own loss; "
            "remove the plugin or `trainer_cls` that brings it"
        )
    if trainer.compute_loss_func is not None:
        problems.append("a `compute_loss_func` is set; remove the plugin or key that sets it (`use_eaft`?)")
    if trainer.label_smoother is not None:
        problems.append("`label_smoothing_factor` is set; remove it and set `dece_label_smoothing`")
    if trainer.args.n_gpu > 1:
        problems.append(
            f"one process drives {trainer.args.n_gpu} GPUs (DataParallel); start one process per GPU with "
            "`axolotl train` or `accelerate launch`, or set CUDA_VISIBLE_DEVICES to one GPU"
        )
    if problems:
        raise ValueError("DeCE cannot be what trains this model:\n" + "\n".join(f"  - {p}" for p in problems))


class _RunRecorder(TrainerCallback):
    """Keeps dece_run.json true: written when training begins, in every checkpoint, and when training ends."""

    def __init__(self, cfg: DictDefault, trainer: Trainer, keeper: StepKeeper, config_sha256: str) -> None:
        self.cfg = cfg
        self.trainer = trainer
        self.keeper = keeper
        self.config_sha256 = config_sha256
        self.run: dict[str, Any] = {}

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        schedule = self.keeper.schedule
        per_epoch = steps_per_epoch(kwargs.get("train_dataloader"), args) or state.max_steps
        self.run = manifest.describe_run(
            loss=self.cfg.loss,
            parameters={key: self.cfg[key] for key in DeceKeys.model_fields if schedule and self.cfg[key] is not None},
            planned=schedule.plan(state.max_steps, per_epoch) if schedule else [],
            config_sha256=self.config_sha256,
            tokenizer_sha256=manifest.tokenizer_digest(self.trainer.processing_class),
        )
        self.run["prompts"] = prompt_recipes(self.cfg)
        if state.global_step and self.cfg.resume_from_checkpoint:
            manifest.check_same_run(self.cfg.resume_from_checkpoint, self.run)
        self._write(Path(args.output_dir), state)

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self._write(Path(args.output_dir) / f"checkpoint-{state.global_step}", state)
        self._write(Path(args.output_dir), state)

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self.run["status"] = "finished"
        self._write(Path(args.output_dir), state)

    def _write(self, folder: Path, state: TrainerState) -> None:
        self.run["step"] = state.global_step
        self.run["alpha"]["last"] = self.keeper.alpha if state.global_step else None
        if self.trainer.is_local_process_zero():
            manifest.write_json_atomically(folder / manifest.RUN_FILE, self.run)
