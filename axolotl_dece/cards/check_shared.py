"""What a config of somebody else would run here, and what this machine lacks for it; nothing it names is imported."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from axolotl_dece.cards.facts import is_hub_name
from axolotl_dece.cards.secrets import find_secrets, say_secrets
from axolotl_dece.cards.shared_config import SharedConfig
from axolotl_dece.check import REQUIRED, Finding, Level, inspect_config, parse_config

# part of the installed axolotl, as is everything below the package
_TRUSTED = ("axolotl.integrations.", "axolotl_dece.", "axolotl_dece:")
_MOST_NODES = 20_000
_OUTSIDE_FILES = ("deepspeed", "chat_template_jinja", "tokenizer_config", "dece_decisions", "resume_from_checkpoint")


def inspect_shared(found: SharedConfig) -> tuple[dict[str, Any], list[Finding]]:
    """The mapping in a config, and every finding about it.

    Raises:
        ValueError: It is not a YAML mapping, or one that only pretends to be a config.
    """
    raw, duplicates = parse_config(found.text, found.origin)
    if not found.is_foreign:
        findings = inspect_config(raw, duplicates)
    else:
        refuse_bomb(raw)
        findings = inspect_config(without_code(raw), duplicates, is_ours=False)
        findings += [*code_findings(raw), *machine_findings(raw, found.axolotl)]
    if secrets := find_secrets(found.text):
        level: Level = "error" if raw.get("hub_model_id") and not found.is_foreign else "warning"
        findings.append(Finding(level, say_secrets(found.origin, secrets)))
    return raw, findings


def refuse_bomb(raw: Any) -> None:
    """Raise ValueError for YAML whose aliases unfold into more than any config has."""
    left, waiting = _MOST_NODES, [raw]
    while waiting:
        node = waiting.pop()
        left -= 1
        if left < 0:
            raise ValueError(f"this YAML unfolds into more than {_MOST_NODES} values, so it is no config; not read")
        if isinstance(node, Mapping):
            waiting += node.values()
        elif isinstance(node, (list, tuple)):
            waiting += node


def without_code(raw: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a config that can be validated without running anything that it names."""
    kept = {key: value for key, value in raw.items() if key not in ("trust_remote_code", "trainer_cls", "deepspeed")}
    if raw.get("trainer_cls") == REQUIRED:
        kept["trainer_cls"] = REQUIRED
    plugins = raw.get("plugins")
    if isinstance(plugins, list):
        kept["plugins"] = [name for name in plugins if _is_trusted(name)]
    return kept


def _is_trusted(name: Any) -> bool:
    return isinstance(name, str) and name.startswith(_TRUSTED)


def code_findings(raw: Mapping[str, Any]) -> Iterator[Finding]:
    """Everything in the config that would run code which is neither axolotl's nor ours."""
    for name in raw.get("plugins") or []:
        if not _is_trusted(name):
            yield Finding("warning", f"plugin `{name}` would run code of its own; it was not imported to look")
    trainer = raw.get("trainer_cls")
    if trainer and trainer != REQUIRED:
        yield Finding("warning", f"`trainer_cls: {trainer}` would run code of its own; it was not imported to look")
    for place in _paths_of(raw, "trust_remote_code"):
        yield Finding("warning", f"`{place}: true` would run whatever Python the model's repository holds")
    for place, kind in _strategies(raw):
        yield Finding("warning", f"`{place}: {kind}` names a module of its own, which would be run to read the data")


def _paths_of(node: Any, wanted: str, place: str = "") -> Iterator[str]:
    """Where a key is switched on, at any depth."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            here = f"{place}.{key}" if place else str(key)
            if key == wanted and value:
                yield here
            yield from _paths_of(value, wanted, here)
    elif isinstance(node, list):
        for number, value in enumerate(node):
            yield from _paths_of(value, wanted, f"{place}[{number}]")


def _entries(raw: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for key in ("datasets", "test_datasets", "pretraining_dataset"):
        listed = raw.get(key)
        for number, entry in enumerate(listed if isinstance(listed, list) else []):
            if isinstance(entry, Mapping):
                yield f"{key}[{number}]", entry


def _strategies(raw: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Dataset types with a dot are modules, unless axolotl itself has them."""
    for place, entry in _entries(raw):
        kind = entry.get("type")
        if (
            isinstance(kind, str)
            and "." in kind
            and not kind.startswith(("axolotl_dece.", "axolotl.", "chat_template."))
        ):
            yield f"{place}.type", kind


def machine_findings(raw: Mapping[str, Any], trained_with: str | None) -> Iterator[Finding]:
    """What differs between this machine and the one the config was written for."""
    if trained_with and trained_with != version("axolotl"):
        yield Finding("warning", f"it was trained with axolotl {trained_with}, {version('axolotl')} is installed here")
    yield from (Finding("warning", text) for text in _hardware(raw))
    yield from (Finding("warning", text) for text in _packages(raw))
    yield from (Finding("warning", text) for text in _files(raw))


def _hardware(raw: Mapping[str, Any]) -> Iterator[str]:
    import torch

    if not torch.cuda.is_available():
        yield "this machine has no CUDA GPU; the config will run slowly here, or with changes only"
        wanted = [key for key in ("flash_attention", "fp8", "tf32") if raw.get(key)]
        yield from (f"`{key}: {raw[key]}` needs a GPU" for key in wanted)
    elif raw.get("bf16") in (True, "true", "full") and not torch.cuda.is_bf16_supported():
        yield f"`bf16: {raw['bf16']}` is not supported by this GPU"
    if raw.get("fsdp_config") and torch.cuda.device_count() < 2:
        yield f"`fsdp_config` is for several GPUs; this machine has {torch.cuda.device_count()}"


def _packages(raw: Mapping[str, Any]) -> Iterator[str]:
    needed = {
        "deepspeed": raw.get("deepspeed"),
        "flash_attn": raw.get("flash_attention"),
        "wandb": raw.get("wandb_project"),
    }
    needed["bitsandbytes"] = raw.get("load_in_4bit") or raw.get("load_in_8bit") or "8bit" in str(raw.get("optimizer"))
    for module, wanted in needed.items():
        if wanted and importlib.util.find_spec(module) is None:
            yield f"it needs `{module}`, which is not installed here"
    if raw.get("use_wandb") and not os.environ.get("WANDB_API_KEY") and shutil.which("wandb") is None:
        yield "it logs to wandb, which is not set up here"


def _files(raw: Mapping[str, Any]) -> Iterator[str]:
    """Local files that are not here; names of the hub are not asked for."""
    paths = [("base_model", raw.get("base_model")), *((key, raw.get(key)) for key in _OUTSIDE_FILES)]
    paths += [(f"{place}.path", entry.get("path")) for place, entry in _entries(raw)]
    for place, path in paths:
        if isinstance(path, str) and "://" not in path and not is_hub_name(path) and not Path(path).exists():
            yield f"`{place}: {path}` is not here"
