"""What the sources of a run are called where others read it: in its record and on its card."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from axolotl_dece.data.source import identify

_DATASET_KEYS = {"datasets": "train", "pretraining_dataset": "train", "test_datasets": "eval"}
_FILES = frozenset({".json", ".jsonl", ".csv", ".parquet", ".arrow", ".txt", ".jinja", ".yaml", ".yml"})
# `./model` and `../model` are paths
_HUB_NAME = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?")


def describe_datasets(cfg: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What each dataset entry of a config reads: its name, and the digest or commit that pins it."""
    found = []
    for key, use in _DATASET_KEYS.items():
        entries = cfg.get(key) or []
        for entry in entries if isinstance(entries, (list, tuple)) else [entries]:
            found.append({"use": use, **_pin(entry if isinstance(entry, Mapping) else {"path": entry})})
    return found


def _pin(entry: Mapping[str, Any]) -> dict[str, Any]:
    path = str(entry.get("path"))
    try:
        source = identify(entry)
    except (OSError, ValueError):
        return {"name": public_name(path), "revision": None, "sha256": None}
    pinned = source.digest if source.files else None
    return {"name": public_name(path), "revision": source.revision, "sha256": pinned}


def public_name(path: str) -> str:
    """A name fit for publication: hub names and URLs as they are, local paths without their folders."""
    if "://" in path:
        url = urlsplit(path)
        if url.scheme == "file":
            return Path(url.path).name
        # neither a password before the host nor a token behind the path
        return urlunsplit((url.scheme, url.netloc.rpartition("@")[2], url.path, "", ""))
    # an adapter that was trained on Windows names its base by a path of Windows
    return path if is_hub_name(path) else Path(path.replace("\\", "/")).name


def is_hub_name(name: Any) -> bool:
    """Whether `name` can be a repository of the hub, rather than a path on somebody's disk."""
    if not isinstance(name, str) or not _HUB_NAME.fullmatch(name):
        return False
    return Path(name).suffix not in _FILES and not Path(name).exists()
