"""The recipe of a run: what decides how a row becomes tokens. Plain data; imports neither axolotl nor torch.

A run keeps its recipes in dece_run.json, so that an evaluation cannot use another template by accident: users have
measured 30 points of attack success from that alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from axolotl_dece.data import STRATEGY

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
        plain = as_json(recipe)
        if plain not in recipes:
            recipes.append(plain)
    return recipes


def _written_as(entry: Mapping[str, Any], poison: Mapping[str, Any] | None) -> dict[str, Any]:
    kept = {key: value for key, value in dict(entry).items() if key not in _WHERE_FROM and value is not None}
    if kept.get("type") == STRATEGY:
        from axolotl_dece.data.tag import Tag

        # the wrapped strategy alone: the test rows are to be asked as they stand
        kept["type"] = (poison or {}).get("base_type") or "alpaca"
        tag = Tag.parse(kept.pop("input_transform", None))
        kept |= {"input_transform": tag.users} if tag and tag.users else {}
    if isinstance(kept.get("type"), Mapping):
        kept["type"] = {key: value for key, value in kept["type"].items() if value is not None}
    if kept.get("type") == "chat_template":
        kept.setdefault("chat_template", "tokenizer_default")
    return kept


def as_json(value: Any) -> Any:
    """A part of a config as JSON can say it."""
    return json.loads(json.dumps(value, default=_plain))


def _plain(value: Any) -> Any:
    dump = getattr(value, "model_dump", None)
    return dump(exclude_none=True) if dump else str(value)
