"""The one recipe that a test file follows: of a run or of a config file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from axolotl_dece.data.prompt_recipe import prompt_recipes


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
