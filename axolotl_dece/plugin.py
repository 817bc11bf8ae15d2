"""`DecePlugin`: puts the objective under the model and the keeper into the trainer; wiring only, it never computes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from accelerate.utils import DistributedType
from axolotl.core.trainers.base import AxolotlTrainer
from axolotl.integrations.base import BasePlugin
from axolotl.utils.dict import DictDefault
from axolotl.utils.logging import get_logger
from transformers import Trainer

from axolotl_dece.data.names import describe_datasets
from axolotl_dece.features import Feature, Run, features_of
from axolotl_dece.keys import alpha_schedule, find_warnings
from axolotl_dece.loss.criterion import criterion_of
from axolotl_dece.loss.fused_policy import Sharding, use_fused_head
from axolotl_dece.loss.names import LOSSES, say_loss
from axolotl_dece.loss.objective import install
from axolotl_dece.run_file import config_digest
from axolotl_dece.run_recorder import RunRecorder
from axolotl_dece.step import StepKeeper

LOG = get_logger("axolotl.dece")


class DecePlugin(BasePlugin):
    """`plugins: [axolotl_dece.DecePlugin]` with `loss: dece` (or `ce`, or a rival, through the same path)."""

    _features: list[Feature]
    _datasets: list[dict[str, Any]]

    def register(self, cfg: DictDefault) -> None:
        """Keep the digest of the config as the user wrote it, and import the features that its keys ask for."""
        self._config_sha256 = config_digest(cfg)
        self._features = features_of(cfg)
        for feature in self._features:
            feature.register(cfg)

    def get_input_args(self) -> str:
        """The model that axolotl merges into its config schema."""
        return "axolotl_dece.keys.DeceArgs"

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
        if cfg.resume_from_checkpoint or cfg.auto_resume_from_checkpoints:
            _choose_checkpoint(cfg)
        # The objective divides by the token count itself; the trainer is to average over micro-batches, no more.
        trainer.model_accepts_loss_kwargs = False
        schedule = alpha_schedule(cfg) if cfg.loss == "dece" else None
        objective = install(trainer.model, criterion_of(cfg, alpha=schedule.first if schedule else 1.0))
        keeper = StepKeeper(trainer, objective, schedule)
        trainer.add_callback(keeper)
        run = Run(cfg, trainer, keeper, self._config_sha256, _parameters(cfg))
        for feature in self._features:
            for sentence in feature.attach(run):
                LOG.info("DeCE: %s", sentence)
        # last, because its file in a checkpoint says that everything else is there
        trainer.add_callback(RunRecorder(run, self._datasets))
        LOG.info(banner(cfg))
        LOG.info("DeCE: %s", use_fused_head(objective, cfg.dece_fused_head or False, sharding(trainer)))
        for warning in find_warnings(cfg, cfg.num_epochs):
            LOG.warning("DeCE: %s", warning)

    def post_train(self, cfg: DictDefault, model: Any) -> None:
        """Let the features write what they write at the end."""
        for feature in self._features:
            feature.finish()


def _choose_checkpoint(cfg: DictDefault) -> None:
    from axolotl_dece.resume import choose_checkpoint

    if passed_over := choose_checkpoint(cfg):
        LOG.warning("DeCE: %s", passed_over)


def _parameters(cfg: Mapping[str, Any]) -> dict[str, Any]:
    """What decides which weights come out, as far as the loss goes."""
    return {key: cfg[key] for key in LOSSES[cfg["loss"]].keys if cfg[key] is not None}


def banner(cfg: Mapping[str, Any]) -> str:
    """One line that says what trains this model."""
    if cfg["loss"] != "dece":
        return f"DeCE is OFF (`loss: {cfg['loss']}`): {say_loss(cfg)}, normalised over the target tokens of each step"
    return (
        f"DeCE is ON: alpha {alpha_schedule(cfg)}, label smoothing {cfg['dece_label_smoothing']}, "
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


def sharding(trainer: Trainer) -> Sharding:
    """How the weights will lie on the ranks, as far as the fused head has to know."""
    accelerator = trainer.accelerator
    kind, state = accelerator.distributed_type, accelerator.state
    if kind == DistributedType.DEEPSPEED:
        return "sharded" if state.deepspeed_plugin.zero_stage == 3 else "replicated"
    if kind == DistributedType.FSDP:
        return "sharded" if state.fsdp_plugin.fsdp_version == 2 else "unproven"
    layout = accelerator.parallelism_config
    if layout is not None and (layout.tp_enabled or layout.cp_enabled or layout.sp_enabled):
        return "unproven"
    plain = (DistributedType.NO, DistributedType.MULTI_GPU, DistributedType.MULTI_CPU)
    return "replicated" if kind in plain else "unproven"
