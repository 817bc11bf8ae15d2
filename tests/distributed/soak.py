"""Two thousand steps under observation: what a long run leaves behind in memory and in open files."""

from __future__ import annotations

import ctypes
import gc
import json
import os
from pathlib import Path
from typing import Any

from axolotl.integrations.base import BasePlugin
from transformers import TrainerCallback

EVERY = 250


def soak(folder: Path, config: dict[str, Any]) -> None:
    """Train `config`; resident memory (bytes) and open file handles go to `folder`/soak.json, every 250 steps."""
    from tests.tiny import train

    Observer.path = folder / "soak.json"
    train(folder, config)


class Observer(BasePlugin):
    """Looks at this process."""

    path = Path()

    def post_trainer_create(self, cfg: Any, trainer: Any) -> None:
        trainer.add_callback(_Look(self.path))


class _Look(TrainerCallback):
    def __init__(self, path: Path) -> None:
        self.path = path
        self.seen: list[dict[str, int]] = []

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step % EVERY:
            return
        gc.collect()
        # what the allocator keeps for later is no leak
        ctypes.CDLL("libc.so.6").malloc_trim(0)
        resident = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        handles = len(os.listdir("/proc/self/fd"))
        self.seen.append({"step": state.global_step, "resident": resident, "handles": handles})
        self.path.write_text(json.dumps(self.seen))
