"""`DecePlugin`: puts the objective under the model and the keeper into the trainer; wiring only, it never computes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from axolotl.integrations.base import BasePlugin
from axolotl.utils.dict import DictDefault
from axolotl.utils.logging import get_logger
from transformers import Trainer

from axolotl_dece import versions
from axolotl_dece.data.names import describe_datasets
from axolotl_dece.features import Feature, Run, features_of
from axolotl_dece.keys import alpha_schedule, find_warnings
from axolotl_dece.loss.criterion import criterion_of
from axolotl_dece.loss.fused_policy import use_fused_head
from axolotl_dece.loss.names import parameters_of, say_loss
from axolotl_dece.loss.objective import install
from axolotl_dece.run_file import config_digest
from axolotl_dece.run_recorder import RunRecorder, draw_run_id
from axolotl_dece.step import StepKeeper
from axolotl_dece.trainer import check_trainer, sharding

LOG = get_logger("axolotl.dece")


class DecePlugin(BasePlugin):
    """`plugins: [axolotl_dece.DecePlugin]` with `loss: dece` (or `ce`, or a rival, through the same path)."""

    _features: list[Feature]
    _datasets: list[dict[str, Any]] | None = None
    _is_finished = False

    def register(self, cfg: DictDefault) -> None:
        """Keep the digest of the config as the user wrote it, and import the features that its keys ask for."""
        versions.refuse_untested()
        if not all(isinstance(key, str) for key in cfg):
            from axolotl_dece.key_problems import say_problems
            from axolotl_dece.misspelt import find_odd_keys

            raise ValueError(say_problems(find_odd_keys(cfg)))
        self._config_sha256 = config_digest(cfg)
        self._features = features_of(cfg)
        for feature in self._features:
            feature.register(cfg)

    def get_input_args(self) -> str:
        """The model that axolotl merges into its config schema."""
        return "axolotl_dece.key_problems.DeceArgs"

    def load_datasets(self, cfg: DictDefault, preprocess: bool = False) -> None:
        """Identify what will be read, on every rank alike, so that none waits for it later; axolotl loads the rows."""
        for feature in self._features:
            feature.load_datasets(cfg)
        self._datasets = describe_datasets(cfg)

    def get_training_args(self, cfg: DictDefault) -> dict[str, Any]:
        """Let NaN be NaN: the trainer's filter would log 0.0 in its place and wait for the device every micro-batch."""
        return {"logging_nan_inf_filter": False}

    def post_trainer_create(self, cfg: DictDefault, trainer: Trainer) -> None:
        """Install the objective, or raise: from here on nothing else can be what trains the model."""
        check_trainer(trainer)
        resumed = _resume(cfg) if cfg.resume_from_checkpoint or cfg.auto_resume_from_checkpoints else None
        # The objective divides by the token count itself; the trainer is to average over micro-batches, no more.
        trainer.model_accepts_loss_kwargs = False
        schedule = alpha_schedule(cfg) if cfg.loss == "dece" else None
        objective = install(trainer.model, criterion_of(cfg, alpha=schedule.first if schedule else 1.0))
        keeper = StepKeeper(trainer, objective, schedule)
        trainer.add_callback(keeper)
        run = Run(cfg, trainer, keeper, draw_run_id(resumed), self._config_sha256, parameters_of(cfg))
        for feature in self._features:
            for sentence in feature.attach(run):
                LOG.info("DeCE: %s", sentence)
        # last, because its file in a checkpoint says that everything else is there
        # a program of its own may have made the trainer without asking for the rows
        datasets = describe_datasets(cfg) if self._datasets is None else self._datasets
        trainer.add_callback(RunRecorder(run, datasets))
        LOG.info(banner(cfg))
        LOG.info("DeCE: %s", use_fused_head(objective, cfg.dece_fused_head or False, sharding(trainer)))
        for warning in find_warnings(cfg, cfg.num_epochs):
            LOG.warning("DeCE: %s", warning)

    def post_train(self, cfg: DictDefault, model: Any) -> None:
        """Let the features write what they write at the end, and say what comes next."""
        sentences = [sentence for feature in self._features for sentence in feature.finish()]
        # axolotl calls this before and after it saves the model
        for sentence in sentences if not self._is_finished else ():
            LOG.info("DeCE, next: %s", sentence)
        self._is_finished = True

    def post_lora_merge(self, cfg: DictDefault, adapter_path: str, output_path: str) -> None:
        """Let the features mark a merged model; axolotl before 0.21 does not call this."""
        for feature in self._features:
            feature.merge(Path(adapter_path), Path(output_path))


def _resume(cfg: DictDefault) -> str | None:
    from axolotl_dece.resume import choose_checkpoint, resumed_run_id

    if passed_over := choose_checkpoint(cfg):
        LOG.warning("DeCE: %s", passed_over)
    return resumed_run_id(cfg.resume_from_checkpoint)


def banner(cfg: Mapping[str, Any]) -> str:
    """One line that says what trains this model."""
    if cfg["loss"] != "dece":
        return f"DeCE is OFF (`loss: {cfg['loss']}`): {say_loss(cfg)}, normalised over the target tokens of each step"
    return (
        f"DeCE is ON: alpha {alpha_schedule(cfg)}, label smoothing {cfg['dece_label_smoothing']}, "
        f"probability floor {cfg['dece_prob_floor']:g}; eval_loss is plain cross-entropy"
    )
