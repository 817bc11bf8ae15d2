"""Where numbers come from: commit, versions and machine, without names of hosts, users or folders."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from pathlib import Path
from typing import Any

from axolotl_dece.run_file import installed_versions

_ASK_GPU = ("nvidia-smi", "--query-gpu=name", "--format=csv,noheader")
_ASK_COMMIT = ("git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=10", "--exclude=*")


def made_by() -> dict[str, Any]:
    """What a reader needs to repeat a run elsewhere."""
    gpus = _said_by(_ASK_GPU).splitlines()
    return {
        "commit": _said_by(_ASK_COMMIT) or None,
        "versions": installed_versions(),
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, " + (", ".join(gpus) or "no GPU"),
    }


def _said_by(command: tuple[str, ...]) -> str:
    """Output of a program; empty where there is no such program, or nothing for it to say."""
    if shutil.which(command[0]) is None:
        return ""
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)  # noqa: S603 - fixed words
    return done.stdout.strip() if done.returncode == 0 else ""
