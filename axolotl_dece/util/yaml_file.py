"""Configs as files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from axolotl_dece.util.atomic import write_text_atomically


def write_yaml(path: Path, config: Mapping[str, Any]) -> None:
    """Write a config as a user would, keys in their order."""
    write_text_atomically(path, yaml.safe_dump(dict(config), sort_keys=False))
