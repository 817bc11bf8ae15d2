"""`axolotl train`, started as a user would and followed by its own progress bar."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from axolotl_dece.experiment.pool import read_steps

# offline, silent, and one thread for each of the runs side by side
_ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "AXOLOTL_DO_NOT_TRACK": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "OMP_NUM_THREADS": "1",
}


def train(configs: Sequence[Path], console: Console) -> None:
    """Run `axolotl train` on each config, all at once; each writes its output to `<config>.log`.

    Raises:
        RuntimeError: If a run fails, with the end of its output.
    """
    environment = {**os.environ, **_ENVIRONMENT}
    columns = (TextColumn("  {task.description:>14}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as bars:
        runs = {config: _start(config, environment) for config in configs}
        tasks = {config: bars.add_task(f"train {config.stem}", total=None) for config in configs}
        try:
            while any(run.poll() is None for run in runs.values()):
                for config, task in tasks.items():
                    _follow(bars, task, log_of(config))
                time.sleep(0.5)
        finally:
            for run in runs.values():
                run.terminate()
        for config, task in tasks.items():
            _follow(bars, task, log_of(config))
    for config, run in runs.items():
        if run.returncode:
            raise RuntimeError(f"`axolotl train {config}` failed; its output ends so:\n{_tail(log_of(config))}")


def log_of(config: Path) -> Path:
    """Where the output of a run goes."""
    return config.with_suffix(".log")


def banner_of(config: Path) -> str:
    """The one line in which the plugin says what trains the model."""
    lines = log_of(config).read_text(encoding="utf-8", errors="replace").splitlines()
    found = next((line for line in lines if "DeCE is O" in line), "")
    return found[found.find("DeCE is O") :]


def _start(config: Path, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    axolotl = Path(sys.executable).with_name("axolotl")
    with log_of(config).open("wb") as log:
        return subprocess.Popen(  # noqa: S603 - our own command with our own config
            [axolotl, "train", config, "--launcher", "python"], stdout=log, stderr=subprocess.STDOUT, env=environment
        )


def _follow(bars: Progress, task: TaskID, log: Path) -> None:
    if steps := read_steps(log):
        bars.update(task, completed=steps[0], total=steps[1])


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-25:])
