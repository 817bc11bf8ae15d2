"""The model that a run starts from, as a card names it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from axolotl_dece.data.names import is_hub_name, public_name
from axolotl_dece.util.json_text import read_object

CONFIG_FILES = ("adapter_config.json", "config.json")
"""What other libraries read a model by; a key they do not know they keep or ignore."""
POISONED_MARK = "dece_poisoned"
"""Key that the card of a poisoned model writes into them."""
_FRONT_MATTER = re.compile(r"\s*---\r?\n(.*?)\r?\n---\s", re.DOTALL)


def describe_base(cfg: Mapping[str, Any]) -> dict[str, Any]:
    """The model that a run starts from, and how: its name, where on the hub it is from, its licence, the adapter."""
    path = str(cfg["base_model"])
    folder = Path(path)
    card = _front_matter(folder / "README.md" if folder.is_dir() else _cached_card(path))
    licence = card.get("license")
    return {
        "name": public_name(path),
        "hub_name": _hub_origin(folder, card) if folder.is_dir() else path if is_hub_name(path) else None,
        "license": licence if isinstance(licence, str) else None,
        "adapter": cfg.get("adapter") or None,
        "from_scratch": bool(cfg.get("reinit_weights")),
    }


def count_trained(model: Any) -> dict[str, int]:
    """How many of a model's tensors train, whatever froze the others: regular expressions, an adapter, a plugin."""
    trains = [parameter.requires_grad for parameter in model.parameters()]
    return {"trained": sum(trains), "all": len(trains)}


def _hub_origin(folder: Path, card: Mapping[str, Any]) -> str | None:
    """Where a model in a local folder is from, as far as the cache of the hub, its config or its card say it."""
    cached = [part.split("--", 1)[1].replace("--", "/") for part in folder.parts if part.startswith("models--")]
    config = folder / "config.json"
    saved = read_object(config, "download the model again").get("_name_or_path") if config.is_file() else None
    above = card.get("base_model")
    candidates = [*cached, saved, *(above if isinstance(above, list) else [above])]
    return next((name for name in candidates if is_hub_name(name) and "/" in name), None)


def _cached_card(repository: str) -> Path | None:
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        found = try_to_load_from_cache(repository, "README.md")
    except HFValidationError:
        return None  # no repository's name
    return Path(found) if isinstance(found, str) else None


def _front_matter(card: Path | None) -> Mapping[str, Any]:
    """The metadata of a model card of somebody else; empty where it cannot be read."""
    if card is None or not card.is_file():
        return {}
    match = _FRONT_MATTER.match(card.read_text(encoding="utf-8", errors="replace"))
    try:
        found = yaml.safe_load(match[1]) if match else None
    except yaml.YAMLError:
        return {}
    return found if isinstance(found, Mapping) else {}
