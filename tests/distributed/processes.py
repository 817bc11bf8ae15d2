"""Processes forked from one parent that has imported axolotl: a rank or a victim costs a second instead of ten."""

from __future__ import annotations

import gc
import multiprocessing
import os
import socket
import sys
import time
import traceback
from collections.abc import Callable
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["axolotl.train", "axolotl.core.trainers.base", "deepspeed", "peft"])


def start(log: Path, function: Callable[..., Any], *args: Any) -> ForkServerProcess:
    """Run `function(*args)` in a new process that writes what it says to `log`."""
    process = _CONTEXT.Process(target=_logged, args=(log, function, *args))
    process.start()
    return process


def _logged(log: Path, function: Callable[..., Any], *args: Any) -> None:
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(file, 1)
    os.dup2(file, 2)
    sys.argv = ["axolotl"]
    # axolotl's packing collects garbage several times per run, through everything the parent imported
    gc.freeze()
    try:
        function(*args)
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)
    sys.stdout.flush()
    # gloo's threads outlive the group, and an orderly exit waits for them
    os._exit(0)


def join(processes: list[ForkServerProcess], logs: list[Path], timeout: float) -> None:
    """Wait for all; raise RuntimeError with the logs when one fails or the time is up, and leave none behind."""
    deadline = time.monotonic() + timeout
    while any(p.is_alive() for p in processes) and time.monotonic() < deadline:
        if any(p.exitcode for p in processes):
            break
        time.sleep(0.05)
    codes = [p.exitcode for p in processes]
    for process in processes:
        process.kill()
        process.join()
    if any(code != 0 for code in codes):
        told = "\n".join(f"--- {log.name}\n{log.read_text(errors='replace')[-4000:]}" for log in logs if log.exists())
        raise RuntimeError(f"exit codes {codes} after at most {timeout:.0f} s\n{told}")


def free_port() -> int:
    """A TCP port nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def run_pair(folder: Path, engine: str, function: Callable[..., Any], *args: Any, timeout: float = 550) -> None:
    """Run `function(*args)` on two ranks under `engine`, with logs in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    logs = [folder / f"rank{rank}.log" for rank in range(2)]
    join([start(log, _rank, engine, rank, port, function, args) for rank, log in enumerate(logs)], logs, timeout)


def _rank(engine: str, rank: int, port: int, function: Callable[..., Any], args: tuple[Any, ...]) -> None:
    from tests.distributed.cpu_ranks import enter

    enter(engine, rank, port)
    function(*args)
