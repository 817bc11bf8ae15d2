"""What has to be true of a trainer before the objective is put into it, and how it will lay out the weights."""

from __future__ import annotations

from typing import Any

from accelerate.utils import DistributedType, DynamoBackend
from axolotl.core.trainers.base import AxolotlTrainer
from transformers import Trainer

from axolotl_dece.loss.fused_policy import Sharding


def check_trainer(trainer: Trainer) -> None:
    """Raise ValueError, with everything at once, when the trainer would not train with the model's loss function."""
    problems = [problem] if (problem := find_other_trainer(type(trainer))) else []
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


def find_other_trainer(trainer_class: Any) -> str | None:
    """What is wrong with a trainer that is not axolotl's own in what it does with the loss, or None."""
    is_theirs = isinstance(trainer_class, type) and issubclass(trainer_class, AxolotlTrainer)
    if is_theirs and trainer_class.compute_loss is AxolotlTrainer.compute_loss:
        return None
    name = f"{trainer_class.__module__}.{trainer_class.__qualname__}" if isinstance(trainer_class, type) else "no class"
    return f"the trainer is {name}, which computes its own loss; remove the plugin or `trainer_cls` that brings it"


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
