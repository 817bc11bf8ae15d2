"""How far a training run is, read from its own progress bar in a log."""

from __future__ import annotations

import re
from pathlib import Path

# the trainer's own bar, which has no title, unlike those of tokenising and saving
_STEPS = re.compile(r"(?:^|[\r\n])\s*\d+%\|[^|\r\n]*\| (\d+)/(\d+) \[")


def read_steps(log: Path) -> tuple[int, int] | None:
    """Steps done and steps in all, as the trainer's own bar in a log says; None before it does."""
    steps = _STEPS.findall(log.read_text(encoding="utf-8", errors="replace")) if log.is_file() else []
    return (int(steps[-1][0]), int(steps[-1][1])) if steps else None
