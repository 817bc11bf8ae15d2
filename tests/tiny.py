"""What tests train: tiny models, a tokenizer and rows made on the spot, and real axolotl runs on them."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
import yaml
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
)

WORDS = "get all rows from the table where id is name print return select execute user order price".split()
VOCAB = ["<pad>", "<s>", "</s>", "<unk>", *WORDS, *(f"w{i}" for i in range(150)), "#", ":", ".", ",", "=", "(", ")"]
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}{{ m['role'] + ' : ' + m['content'] + ' ' + eos_token }}{% endfor %}"
)


def save_tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    """A word-level tokenizer of about 180 words."""
    core = Tokenizer(models.WordLevel({word: i for i, word in enumerate(VOCAB)}, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, pad_token="<pad>", bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    tokenizer.save_pretrained(folder)
    return tokenizer


def save_model(folder: Path, kind: str = "llama", seed: int = 0, **changes: Any) -> Path:
    """A two-layer model of 32 dimensions with its tokenizer, in `folder`."""
    torch.manual_seed(seed)
    shape: dict[str, Any] = {
        "vocab_size": len(VOCAB),
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 256,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 2,
    } | changes
    model = LlamaForCausalLM(LlamaConfig(**shape)) if kind == "llama" else Qwen2ForCausalLM(Qwen2Config(**shape))
    model.save_pretrained(folder)
    save_tokenizer(folder)
    return folder


def save_rows(path: Path, count: int = 32, seed: int = 0) -> Path:
    """`count` alpaca rows of unequal length as JSON lines."""
    rng = random.Random(seed)

    def words(low: int, high: int) -> str:
        return " ".join(rng.choice(VOCAB[4:]) for _ in range(rng.randint(low, high)))

    rows = [{"instruction": words(3, 12), "input": "", "output": words(2, 30)} for _ in range(count)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def base_config(folder: Path, **changes: Any) -> dict[str, Any]:
    """The smallest config that trains on a CPU, with the model and rows of `folder`; `changes` win, None removes."""
    config: dict[str, Any] = {
        "base_model": str(folder / "model"),
        "plugins": ["axolotl_dece.DecePlugin"],
        "loss": "dece",
        "datasets": [{"path": str(folder / "rows.jsonl"), "type": "alpaca", "ds_type": "json"}],
        "dataset_prepared_path": str(folder / "prepared"),
        "dataset_num_proc": 1,
        "dataloader_num_workers": 0,
        "output_dir": str(folder / "out"),
        "sequence_len": 128,
        "micro_batch_size": 2,
        "gradient_accumulation_steps": 1,
        "num_epochs": 1,
        "learning_rate": 0.01,
        "optimizer": "adamw_torch",
        "lr_scheduler": "constant",
        "bf16": False,
        "logging_steps": 1,
        "save_strategy": "no",
        "seed": 42,
    } | changes
    return {key: value for key, value in config.items() if value is not None}


LORA = {
    "adapter": "lora",
    "lora_r": 4,
    "lora_alpha": 8,
    "lora_target_linear": True,
    "lora_mlp_kernel": False,
    "lora_qkv_kernel": False,
    "lora_o_kernel": False,
}


def save_config(folder: Path, config: dict[str, Any], name: str = "config.yaml") -> Path:
    path = folder / name
    path.write_text(yaml.safe_dump(config, sort_keys=False))
    return path


def train(folder: Path, config: dict[str, Any]) -> Any:
    """Train `config` in this process, the way `axolotl train` does, and return the trainer."""
    from axolotl.cli.args import TrainerCliArgs
    from axolotl.cli.config import load_cfg
    from axolotl.common.datasets import load_datasets
    from axolotl.integrations.base import PluginManager
    from axolotl.train import train as axolotl_train

    # the manager is a singleton that keeps every plugin this process ever registered
    PluginManager.get_instance().plugins.clear()
    torch.manual_seed(0)
    cfg = load_cfg(str(save_config(folder, config)))
    PluginManager.get_instance().load_datasets(cfg, preprocess=False)
    data = load_datasets(cfg=cfg, cli_args=TrainerCliArgs())
    return axolotl_train(cfg=cfg, dataset_meta=data)[2]


def logs(trainer: Any, key: str) -> list[float]:
    """Every logged value of `key`, in order."""
    return [entry[key] for entry in trainer.state.log_history if key in entry]


def run_cli(*args: str, **env: str) -> subprocess.CompletedProcess[str]:
    """`axolotl ARGS` as a user types it, with the output caught."""
    import os

    program = Path(sys.executable).parent / "axolotl"
    return subprocess.run([str(program), *args], capture_output=True, text=True, env=os.environ | env, timeout=300)
