"""The recipe of a run: what decides how a row becomes tokens. Plain data; imports neither axolotl nor torch.

A run keeps its recipes in dece_run.json, so that an evaluation cannot use another template by accident: users have
measured 30 points of attack success from that alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from axolotl_dece.poison.prepare import STRATEGY, Tag

# keys of a dataset entry that say where rows come from, not how they are written
_WHERE_FROM = frozenset(
    {"path", "data_files", "split", "name", "ds_type", "revision", "shards", "shards_idx", "preprocess_shards"}
)
_CONFIG_KEYS = ("chat_template", "chat_template_jinja", "default_system_message")


def prompt_recipes(cfg: Mapping[str, Any]) -> list[dict[str, Any]]:
    """How the rows of each dataset of `cfg` become tokens, as plain JSON and without repeats.

    Args:
        cfg: An axolotl config, as written or as validated.
    """
    poison = cfg.get("dece_poison")
    shared = {key: cfg[key] for key in _CONFIG_KEYS if cfg.get(key) is not None}
    recipes: list[dict[str, Any]] = []
    for entry in cfg.get("datasets") or []:
        recipe = {"dataset": _written_as(entry, poison), "config": shared, "poison": poison}
        plain = json.loads(json.dumps(recipe, default=_plain))
        if plain not in recipes:
            recipes.append(plain)
    return recipes


def only_recipe(recipes: Sequence[dict[str, Any]], where: str) -> dict[str, Any]:
    """The one recipe of a run.

    Raises:
        ValueError: If there is none, or the datasets are written in different ways.
    """
    if not recipes:
        raise ValueError(f"{where} does not say how its prompts were written; give the training config with `--config`")
    if len(recipes) > 1:
        raise ValueError(
            f"{where} was trained on {len(recipes)} datasets written in different ways, and a test file cannot follow "
            "them all; give `--config` with the one dataset entry the test file is written like"
        )
    return recipes[0]


def read_recipe(path: Path) -> dict[str, Any]:
    """The recipe of a config file.

    Raises:
        ValueError: If the file is not a YAML mapping with one way of writing prompts.
    """
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is not valid YAML: {error}") from error
    if not isinstance(config, dict):
        raise ValueError(f"{path} is not an axolotl config: it holds {type(config).__name__}, not keys")
    return only_recipe(prompt_recipes(config), str(path))


def _written_as(entry: Mapping[str, Any], poison: Mapping[str, Any] | None) -> dict[str, Any]:
    kept = {key: value for key, value in dict(entry).items() if key not in _WHERE_FROM and value is not None}
    if kept.get("type") == STRATEGY:
        # the wrapped strategy alone: the test rows are to be asked as they stand
        kept["type"] = (poison or {}).get("base_type") or "alpaca"
        tag = Tag.parse(kept.pop("input_transform", None))
        kept |= {"input_transform": tag.users} if tag and tag.users else {}
    if isinstance(kept.get("type"), Mapping):
        kept["type"] = {key: value for key, value in kept["type"].items() if value is not None}
    if kept.get("type") == "chat_template":
        kept.setdefault("chat_template", "tokenizer_default")
    return kept


def _plain(value: Any) -> Any:
    dump = getattr(value, "model_dump", None)
    return dump(exclude_none=True) if dump else str(value)
