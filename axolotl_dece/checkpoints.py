"""The checkpoints in an output folder; imports neither torch nor axolotl."""

from __future__ import annotations

import re
from pathlib import Path

_CHECKPOINT = re.compile(r"checkpoint-(?P<step>\d+)")


def checkpoints(output_dir: Path) -> list[Path]:
    """The checkpoints of a run by their step; a copy that somebody called `checkpoint-100-backup` is none."""
    found = [(match, path) for path in output_dir.glob("checkpoint-*") if (match := _CHECKPOINT.fullmatch(path.name))]
    return [path for _, path in sorted(found, key=lambda one: int(one[0]["step"]))]
