"""A process per job, some at a time, forked from a server that has imported axolotl once."""

from __future__ import annotations

import multiprocessing
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import forkserver
from multiprocessing.connection import wait
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from typing import Any

_WORKER = "axolotl_dece.experiment.worker"
_LINES_OF_A_FAILURE = 12
# the trainer's own bar, which has no title, unlike those of tokenising and saving
_STEPS = re.compile(r"(?:^|[\r\n])\s*\d+%\|[^|\r\n]*\| (\d+)/(\d+) \[")
# offline and silent; one thread each, for small models lose by a second one
_ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "AXOLOTL_DO_NOT_TRACK": "1",
    "TOKENIZERS_PARALLELISM": "false",
    # asking how many GPUs there are must not start CUDA in the server: its children could not use it
    "PYTORCH_NVML_BASED_CUDA_CHECK": "1",
}


@dataclass(frozen=True)
class Job:
    """Something to do in a process of its own.

    Attributes:
        name: For the reader.
        work: Name of a function of the worker.
        arguments: What it is called with.
        log: Where its output goes.
    """

    name: str
    work: str
    arguments: tuple[Any, ...]
    log: Path


def read_steps(log: Path) -> tuple[int, int] | None:
    """Steps done and steps in all, as the trainer's own bar in a log says; None before it does."""
    steps = _STEPS.findall(log.read_text(encoding="utf-8", errors="replace")) if log.is_file() else []
    return (int(steps[-1][0]), int(steps[-1][1])) if steps else None


@dataclass(frozen=True)
class Failure:
    """A job that did not come to its end.

    Attributes:
        job: Which.
        code: Exit status of its process; negative for a signal.
    """

    job: Job
    code: int

    @property
    def last_lines(self) -> str:
        """How its output ends."""
        if not self.job.log.is_file():
            return ""
        lines = self.job.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(lines[-_LINES_OF_A_FAILURE:])


def start_server(jobs: int, device: str, log: Path) -> ForkServerContext:
    """The server that imports axolotl while the caller does something else.

    Args:
        jobs: How many processes will run at once.
        device: `cpu` hides every GPU.
        log: Where its output goes.
    """
    for key, value in _ENVIRONMENT.items():
        os.environ.setdefault(key, value)
    if jobs > 1:
        os.environ.setdefault("OMP_NUM_THREADS", "1")
    if device == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([_WORKER])
    with _output_in(log):
        forkserver.ensure_running()
    return context


@contextmanager
def _output_in(log: Path) -> Iterator[None]:
    """Let processes started in the block write to `log`."""
    kept = [os.dup(stream) for stream in (1, 2)]
    try:
        with log.open("wb") as file:
            for stream in (1, 2):
                os.dup2(file.fileno(), stream)
        yield
    finally:
        for copy, stream in zip(kept, (1, 2), strict=True):
            os.dup2(copy, stream)
            os.close(copy)


def run_jobs(
    context: ForkServerContext, queue: Sequence[Job], jobs: int, on_tick: Callable[[Sequence[Job]], None]
) -> Iterator[tuple[Job, Failure | None]]:
    """Run every job, `jobs` at a time; each is given back when it is done.

    A job that is killed takes no other with it. When the caller stops asking, what runs is terminated.

    Args:
        context: As `start_server` made it.
        queue: What to do, in this order.
        jobs: How many at once.
        on_tick: Told several times a second what is running.
    """
    waiting, running = list(queue), dict[ForkServerProcess, Job]()
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                job = waiting.pop(0)
                running[_start(context, job)] = job
            wait([process.sentinel for process in running], timeout=0.3)
            on_tick(list(running.values()))
            for process in [one for one in running if one.exitcode is not None]:
                job = running.pop(process)
                yield job, Failure(job, process.exitcode) if process.exitcode else None
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.join()


def _start(context: ForkServerContext, job: Job) -> ForkServerProcess:
    process = context.Process(target=_work, args=(job,), name=job.name)
    process.start()
    return process


def _work(job: Job) -> None:
    from axolotl_dece.experiment import worker

    worker.in_own_process(getattr(worker, job.work), job.log, *job.arguments)
