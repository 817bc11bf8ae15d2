"""`DecePlugin`: puts the objective under the model and the keeper into the trainer; wiring only, it never computes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from accelerate.utils import DistributedType, DynamoBackend
from axolotl.core.trainers.base import AxolotlTrainer
from axolotl.integrations.base import BasePlugin
from axolotl.utils.dict import DictDefault
from axolotl.utils.logging import get_logger
from transformers import Trainer

from axolotl_dece import run_file, versions
from axolotl_dece.audit.decisions import Decisions, read_decisions
from axolotl_dece.audit.record.attach import drop_rows, watch_rows
from axolotl_dece.cards.attach import CardKeeper, refuse_secrets
from axolotl_dece.cards.push import announce_prepared_set
from axolotl_dece.evaluation.attach import watch
from axolotl_dece.keys import alpha_schedule, find_warnings
from axolotl_dece.loss.criterion import Mixture
from axolotl_dece.loss.fused_policy import Sharding, use_fused_head
from axolotl_dece.loss.names import say_loss
from axolotl_dece.loss.objective import CROSS_ENTROPY, install
from axolotl_dece.loss.rivals import Criterion, GeneralizedCrossEntropy, InTrust
from axolotl_dece.poison import prepare
from axolotl_dece.poison.strategy import refuse_tokenised
from axolotl_dece.poison.verify import check_ran
from axolotl_dece.run_recorder import RunRecorder, choose_checkpoint
from axolotl_dece.step import StepKeeper

LOG = get_logger("axolotl.dece")


class DecePlugin(BasePlugin):
    """`plugins: [axolotl_dece.DecePlugin]` with `loss: dece` (or `ce`, or a rival, through the same path)."""

    _card: CardKeeper | None = None

    def register(self, cfg: DictDefault) -> None:
        """Keep the digest of the config as the user wrote it; called before axolotl validates it."""
        versions.refuse_untested()
        self._config_sha256 = run_file.config_digest(cfg)
        refuse_secrets(cfg)
        prepare.prepare(cfg)
        if cfg.get("dece_decisions"):
            read_decisions(Path(str(cfg["dece_decisions"])))

    def get_input_args(self) -> str:
        """The model that axolotl merges into its config schema."""
        return "axolotl_dece.keys.DeceArgs"

    def load_datasets(self, cfg: DictDefault, preprocess: bool = False) -> None:
        """Refuse what would keep `dece_poison` from happening; axolotl then loads the datasets as always."""
        refuse_tokenised(cfg)
        announce_prepared_set(cfg)

    def get_training_args(self, cfg: DictDefault) -> dict[str, Any]:
        """Let NaN be NaN: the trainer's filter would log 0.0 in its place and wait for the device every micro-batch."""
        return {"logging_nan_inf_filter": False}

    def post_trainer_create(self, cfg: DictDefault, trainer: Trainer) -> None:
        """Install the objective, or raise: from here on nothing else can be what trains the model."""
        check_trainer(trainer)
        check_ran(cfg, trainer)
        if passed_over := choose_checkpoint(cfg):
            LOG.warning("DeCE: %s", passed_over)
        decisions = read_decisions(Path(cfg.dece_decisions)) if cfg.dece_decisions else None
        if decisions is not None:
            for sentence in drop_rows(trainer, decisions, keep_steps=bool(cfg.max_steps)):
                LOG.info("DeCE: %s", sentence)
        # The objective divides by the token count itself; the trainer is to average over micro-batches, no more.
        trainer.model_accepts_loss_kwargs = False
        schedule = alpha_schedule(cfg) if cfg.loss == "dece" else None
        objective = install(trainer.model, criterion_of(cfg))
        keeper = StepKeeper(trainer, objective, schedule)
        trainer.add_callback(keeper)
        if cfg.dece_audit or decisions is not None:
            self._watch_rows(cfg, trainer, keeper, decisions)
        trainer.add_callback(RunRecorder(cfg, trainer, keeper, self._config_sha256))
        self._card = CardKeeper(trainer, bool(cfg.dece_poison))
        trainer.add_callback(self._card)
        if cfg.dece_monitor:
            trainer.add_callback(watch(trainer, cfg))
        LOG.info(banner(cfg))
        LOG.info("DeCE: %s", use_fused_head(objective, cfg.dece_fused_head or False, sharding(trainer)))
        for warning in find_warnings(cfg, cfg.num_epochs):
            LOG.warning("DeCE: %s", warning)

    def _watch_rows(self, cfg: DictDefault, trainer: Trainer, keeper: StepKeeper, decisions: Decisions | None) -> None:
        rows = watch_rows(
            trainer,
            keeper.objective,
            lambda: keeper.epoch,
            decisions=decisions,
            ledger=bool(cfg.dece_audit),
            facts={"config_digest": self._config_sha256, "loss": cfg.loss},
            resume_from=lambda: cfg.resume_from_checkpoint,
        )
        keeper.before_step.append(rows.watch.begin_step)
        trainer.add_callback(rows)

    def post_train(self, cfg: DictDefault, model: Any) -> None:
        """Write the card where axolotl did not (offline it gives up without a word)."""
        if self._card:
            self._card.write()


def criterion_of(cfg: Mapping[str, Any]) -> Criterion:
    """What a validated config trains, at alpha = 1 where that moves."""
    match cfg["loss"]:
        case "dece":
            return Mixture(1.0, cfg["dece_label_smoothing"], cfg["dece_prob_floor"])
        case "ce":
            return CROSS_ENTROPY
        case "label_smoothing":
            return Mixture(1.0, cfg["dece_label_smoothing"], prob_floor=0.0)
        case "gce":
            return GeneralizedCrossEntropy(cfg["dece_gce_q"])
        case "in_trust":
            return InTrust(cfg["dece_in_trust_alpha"], cfg["dece_in_trust_beta"], cfg["dece_in_trust_delta"])
    raise ValueError(f"`loss: {cfg['loss']}` is not a loss of axolotl-dece; `axolotl dece check` lists what is wrong")


def banner(cfg: Mapping[str, Any]) -> str:
    """One line that says what trains this model."""
    if cfg["loss"] != "dece":
        return f"DeCE is OFF (`loss: {cfg['loss']}`): {say_loss(cfg)}, normalised over the target tokens of each step"
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
    compiler = trainer.accelerator.state.dynamo_plugin
    if compiler.backend != DynamoBackend.NO and compiler.use_regional_compilation:
        problems.append(
            "regional compilation puts a copy of the model in the place of the one that has our loss; remove "
            "`torch_compile_regional` or the environment variable ACCELERATE_DYNAMO_USE_REGIONAL_COMPILATION, and keep "
            "`torch_compile`"
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
