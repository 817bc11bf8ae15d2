"""Why a config will not run on this machine although its loss is right, as far as nothing has to be loaded for it."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping
from glob import glob
from pathlib import Path
from typing import Any

import torch

from axolotl_dece.data.names import is_hub_name

_KERNELS = ("lora_mlp_kernel", "lora_qkv_kernel", "lora_o_kernel", "lora_embedding_kernel")
_LIGER = (
    *("liger_rope", "liger_rms_norm", "liger_rms_norm_gated", "liger_layer_norm"),
    *("liger_glu_activation", "liger_swiglu"),
)
_OUTSIDE_FILES = ("deepspeed", "chat_template_jinja", "tokenizer_config", "dece_decisions", "resume_from_checkpoint")
# names that `datasets` reads local files by
_FORMATS = ("json", "csv", "parquet", "arrow", "text")
_ATTENTION_NEEDS = {
    "flash_attention_2": "flash_attn",
    "flash_attention_3": "flash_attn_interface",
    "xformers": "xformers",
    "sage": "sageattention",
}


def find_obstacles(cfg: Mapping[str, Any]) -> list[str]:
    """A sentence for everything on this machine that ends a run of a config which axolotl has validated."""
    reasons = [*_missing_packages(cfg), *missing_files(cfg)]
    if torch.cuda.is_available():
        return [*reasons, *_needs_a_newer_gpu(cfg)]
    return reasons if torch.backends.mps.is_available() else [*reasons, *_needs_a_gpu(cfg)]


def _needs_a_gpu(cfg: Mapping[str, Any]) -> Iterator[str]:
    cpu = "this machine has none"
    if kernels := [key for key in _KERNELS if cfg.get(key)]:
        said = ", ".join(f"`{key}: true`" for key in kernels)
        yield (
            f"{said} (axolotl's default for LoRA) need a CUDA GPU, and {cpu}; "
            + " and ".join(f"`{key}: false`" for key in kernels)
            + " would train here"
        )
    yield from _precision(cfg, cpu)
    if liger := [key for key in _LIGER if cfg.get(key)]:
        yield f"`{liger[0]}: true` needs a CUDA GPU, and {cpu}; remove it to train here"
    attention = str(cfg.get("attn_implementation") or "")
    if attention.startswith("flash_attention") or attention in ("flex_attention", "sage", "xformers", "fp8"):
        yield (
            f"`attn_implementation: {attention}` trains on a CUDA GPU only, and {cpu}; "
            "`attn_implementation: sdpa` would train here"
        )
    for key in ("tf32", "fp8", "quantize_moe_experts"):
        if cfg.get(key) is True:
            yield f"`{key}: true` needs a CUDA GPU, and {cpu}; remove it to train here"


def _precision(cfg: Mapping[str, Any], cpu: str) -> Iterator[str]:
    """bf16 is `auto` where nobody says otherwise, and axolotl makes fp16 of that without a GPU."""
    bf16, fp16 = cfg.get("bf16"), cfg.get("fp16")
    for key in ("fp16", "float16", "bfloat16"):
        if cfg.get(key):
            yield f"`{key}: true` needs a GPU, and {cpu}; `{key}: false` with `bf16: false` would train here"
    if bf16 is True:
        yield f"`bf16: true` needs a GPU, and {cpu}; `bf16: false` would train here"
    elif bf16 == "auto" and fp16 is None and not cfg.get("float16"):
        yield f"`bf16: auto`, the default, becomes fp16 without a GPU, and {cpu}; `bf16: false` would train here"


def _needs_a_newer_gpu(cfg: Mapping[str, Any]) -> Iterator[str]:
    for key in ("bf16", "bfloat16"):
        if cfg.get(key) is True and not torch.cuda.is_bf16_supported():
            yield f"`{key}: true` is not supported by this GPU; write `{key}: false` and `fp16: true`"


def _missing_packages(cfg: Mapping[str, Any]) -> Iterator[str]:
    quantised = next((key for key in ("load_in_4bit", "load_in_8bit") if cfg.get(key)), None)
    needed = {
        "deepspeed": "deepspeed" if cfg.get("deepspeed") else None,
        "wandb": "wandb_project" if cfg.get("use_wandb") else None,
        "bitsandbytes": quantised or ("optimizer" if "8bit" in str(cfg.get("optimizer")) else None),
        _ATTENTION_NEEDS.get(str(cfg.get("attn_implementation")), ""): "attn_implementation",
    }
    for module, key in needed.items():
        if module and key and importlib.util.find_spec(module) is None:
            yield f"`{key}: {cfg.get(key)}` needs `{module}`, which is not installed here"


def missing_files(cfg: Mapping[str, Any]) -> Iterator[str]:
    """Local files that are not here; names of the hub are not asked for."""
    paths = [("base_model", cfg.get("base_model")), *((key, cfg.get(key)) for key in _OUTSIDE_FILES)]
    paths += [(f"{place}.path", entry.get("path")) for place, entry in entries(cfg)]
    yield from (f"`{place}.data_files: {name}` is not here" for place, name in _missing_data_files(cfg))
    for place, path in paths:
        if not isinstance(path, str) or "\n" in path or "{" in path or "://" in path:
            continue  # a template or an address, no path
        may_be_on_the_hub = is_hub_name(path) and not path.startswith((".", "/", "~"))
        if not may_be_on_the_hub and not Path(path).exists():
            yield f"`{place}: {path}` is not here"


def _missing_data_files(cfg: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Files of entries that read this disk: by the name of a format, or below a folder that is here."""
    for place, entry in entries(cfg):
        path, named = str(entry.get("path")), entry.get("data_files") or []
        if path not in _FORMATS and not Path(path).exists():
            continue
        for name in [named] if isinstance(named, str) else named if isinstance(named, (list, tuple)) else []:
            is_address = "://" in str(name)
            if not is_address and not glob(str(name), recursive=True) and not glob(f"{path}/{name}", recursive=True):
                yield place, str(name)


def entries(cfg: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every entry of a list of datasets, and where it stands."""
    for key in ("datasets", "test_datasets", "pretraining_dataset"):
        listed = cfg.get(key)
        for number, entry in enumerate(listed if isinstance(listed, (list, tuple)) else []):
            if isinstance(entry, Mapping):
                yield f"{key}[{number}]", entry
