"""Two gloo ranks on CPU that really are two ranks, under DDP, DeepSpeed and FSDP2; for tests only.

Left alone, accelerate finds no accelerator, picks no backend and trains two unsynchronised copies without a word.
`enter` is called first thing in a process; `CpuRanks` is listed before ours in `plugins:` where axolotl itself runs.
"""

from __future__ import annotations

import functools
import importlib
import os
from typing import Any

import torch
from axolotl.integrations.base import BasePlugin
from transformers import TrainerCallback

ZERO_STAGES = {"ZeRO-1": 1, "ZeRO-2": 2, "ZeRO-3": 3}


def enter(engine: str, rank: int, port: int, world_size: int = 2) -> None:
    """Make this process rank `rank` of a run under `engine`, before anything has asked accelerate for its state."""
    os.environ |= {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(world_size),
        "LOCAL_WORLD_SIZE": str(world_size),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }
    # axolotl asks whether the ranks' GPUs see each other; a CUDA build of torch raises where there is no GPU
    torch.cuda.can_device_access_peer = lambda *_: True
    torch.set_num_threads(1)
    prepare(engine)


def prepare(engine: str) -> None:
    """Teach accelerate and DeepSpeed about gloo; safe to call once per process."""
    from accelerate.utils import DistributedType

    # without an index: torch cannot load a checkpoint to "cpu:0"
    os.environ["ACCELERATE_TORCH_DEVICE"] = "cpu"
    if engine == "DDP":
        os.environ["ACCELERATE_USE_CPU"] = "true"
        return
    if engine in ZERO_STAGES:
        _use_gloo(DistributedType.MULTI_CPU)
        _prepare_deepspeed()
    else:
        # accelerate turns only GPU-like kinds into FSDP
        _use_gloo(DistributedType.MULTI_GPU)
        _build_meshes_on_cpu()


def _use_gloo(kind: Any) -> None:
    from accelerate.state import PartialState

    def prepare_backend(self: Any, cpu: bool = False, sagemaker_dp: bool = False, backend: str | None = None) -> Any:
        return "gloo", kind

    PartialState._prepare_backend = prepare_backend


def _prepare_deepspeed() -> None:
    os.environ["DS_ACCELERATOR"] = "cpu"
    import deepspeed

    # its shared-memory collectives are compiled when first used, for a minute; gloo does without
    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    backend = importlib.import_module("deepspeed.comm.torch").TorchBackend
    # torch's gloo refuses to write into slices that autograd watches
    for name in ("all_gather_into_tensor", "all_gather", "reduce_scatter_tensor"):
        call = getattr(backend, name)
        setattr(backend, name, functools.wraps(call)(torch.no_grad()(call)))


def _build_meshes_on_cpu() -> None:
    from accelerate import ParallelismConfig

    build = ParallelismConfig.build_device_mesh
    ParallelismConfig.build_device_mesh = lambda self, device_type: build(self, "cpu")


class CpuRanks(BasePlugin):
    """Keeps axolotl from looking for GPUs, and checks that the ranks are ranks of `engine`."""

    engine = ""

    def load_datasets(self, cfg: Any, preprocess: bool = False) -> None:
        """The earliest hook after axolotl has set a GPU as the place of the model."""
        cfg.device_map = {"": "cpu"}

    def get_training_args(self, cfg: Any) -> dict[str, Any]:
        return {} if cfg.deepspeed or cfg.fsdp_config else {"use_cpu": True}

    def post_trainer_create(self, cfg: Any, trainer: Any) -> None:
        trainer.add_callback(_CheckEngine(self.engine, trainer))


class _CheckEngine(TrainerCallback):
    def __init__(self, engine: str, trainer: Any) -> None:
        self.engine, self.trainer = engine, trainer

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        check_engine(self.engine, self.trainer)


def check_engine(engine: str, trainer: Any) -> None:
    """Raise AssertionError unless two ranks trained under `engine`, and not side by side or under another."""
    assert torch.distributed.get_world_size() == trainer.accelerator.num_processes == 2
    wrapped = trainer.model_wrapped
    kinds = [kind.__name__ for kind in type(wrapped).__mro__]
    if engine in ZERO_STAGES:
        assert "DeepSpeedEngine" in kinds
        assert wrapped.zero_optimization_stage() == ZERO_STAGES[engine]
    else:
        assert ("FSDPModule" if engine == "FSDP2" else "DistributedDataParallel") in kinds
