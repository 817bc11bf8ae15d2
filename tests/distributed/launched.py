"""Whole axolotl runs on two ranks: from a config to weights on disk, as `axolotl train` does in each process."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from tests.distributed.cpu_ranks import ZERO_STAGES, CpuRanks

FSDP2_KEYS: dict[str, Any] = {
    "fsdp_version": 2,
    "fsdp_config": {
        "offload_params": False,
        "cpu_ram_efficient_loading": False,
        "auto_wrap_policy": "TRANSFORMER_BASED_WRAP",
        "transformer_layer_cls_to_wrap": "LlamaDecoderLayer",
        "state_dict_type": "FULL_STATE_DICT",
        "reshard_after_forward": True,
    },
}


def stock_zero(stage: int) -> dict[str, Any]:
    """axolotl's deepspeed_configs/zero{1,2,3}.json without what has to be compiled on a CPU (its own AdamW in zero1,
    the offloaded optimizer in zero2).
    """
    zero: dict[str, Any] = {"stage": stage, "overlap_comm": True}
    if stage >= 2:
        zero["contiguous_gradients"] = True
    if stage == 3:
        zero |= {
            "sub_group_size": 0,
            "reduce_bucket_size": "auto",
            "stage3_prefetch_bucket_size": "auto",
            "stage3_param_persistence_threshold": "auto",
            "stage3_max_live_parameters": 0,
            "stage3_max_reuse_distance": 0,
            "stage3_gather_16bit_weights_on_model_save": True,
        }
    return {
        "zero_optimization": zero,
        "bf16": {"enabled": "auto"},
        "fp16": {"enabled": "auto", "auto_cast": False, "loss_scale": 0, "initial_scale_power": 32},
        "gradient_accumulation_steps": "auto",
        "gradient_clipping": "auto",
        "train_batch_size": "auto",
        "train_micro_batch_size_per_gpu": "auto",
        "wall_clock_breakdown": False,
    }


def engine_keys(engine: str, folder: Path) -> dict[str, Any]:
    """The YAML keys that choose `engine`; a DeepSpeed JSON is written to `folder`."""
    if engine == "FSDP2":
        return FSDP2_KEYS
    if engine not in ZERO_STAGES:
        return {}
    stage = ZERO_STAGES[engine]
    path = folder / f"zero{stage}.json"
    path.write_text(json.dumps(stock_zero(stage)))
    return {"deepspeed": str(path)}


def train_config(engine: str, config: dict[str, Any], folder: Path) -> None:
    """Train `config` on this rank and let rank 0 write what was logged to `folder`/log.json."""
    from tests.tiny import train

    rank = int(os.environ["RANK"])
    own = folder / f"rank{rank}"
    own.mkdir(exist_ok=True)
    CpuRanks.engine = engine
    trainer = train(own, config | {"plugins": ["tests.distributed.cpu_ranks.CpuRanks", *config["plugins"]]})
    if rank == 0:
        (folder / "log.json").write_text(json.dumps(trainer.state.log_history))


def merge_adapters(configs: list[Path]) -> None:
    """`axolotl merge-lora` of every config, one after the other."""
    from axolotl.cli.merge_lora import do_cli

    for config in configs:
        do_cli(config=str(config))
