"""A job that fails or is killed takes no other with it, and no job outlives the one who asked for it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from axolotl_dece.experiment.pool import Job, run_jobs, start_server
from tests.experiment.jobs import Told

ORPHANING = """
import sys
from pathlib import Path
from axolotl_dece.experiment.pool import run_jobs, start_server
from tests.experiment.test_pool import job
folder = Path(sys.argv[1])
list(run_jobs(start_server(1, "cpu", folder / "server.log"), [job(folder, "sleep")], 1, lambda running: None))
"""


def job(folder: Path, act: str) -> Job:
    return Job(act, "prepare", (Told(act=act), folder / act, 0), folder / f"{act}.log")  # type: ignore[arg-type]


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # a zombie is dead; whoever adopted it has not looked yet
    return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()


def until(true: Callable[[], bool], seconds: float = 240.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if true():
            return True
        time.sleep(0.1)
    return False


@pytest.mark.slow
def test_a_job_that_fails_or_is_killed_takes_no_other_with_it(tmp_path: Path) -> None:
    context = start_server(2, "auto", tmp_path / "server.log")
    most = 0

    def watch(running: Sequence[Job]) -> None:
        nonlocal most
        most = max(most, len(running))

    queue = [job(tmp_path, act) for act in ("raise", "kill", "finish")]
    done = {one.name: failure for one, failure in run_jobs(context, queue, 2, watch)}
    assert done["finish"] is None
    assert (done["raise"].code, done["kill"].code) == (1, -signal.SIGKILL)  # type: ignore[union-attr]
    assert "ValueError: this cannot be prepared" in done["raise"].last_lines  # type: ignore[union-attr]
    assert most == 2


@pytest.mark.slow
def test_jobs_end_when_nobody_asks_any_more(tmp_path: Path) -> None:
    context = start_server(1, "auto", tmp_path / "server.log")
    pid = tmp_path / "sleep" / "pid"
    stopped = 0.0

    def stop(running: Sequence[Job]) -> None:
        nonlocal stopped
        if pid.is_file() and pid.read_text():
            stopped = time.monotonic()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(run_jobs(context, [job(tmp_path, "sleep")], 1, stop))
    assert not is_alive(int(pid.read_text()))
    assert time.monotonic() - stopped < 100, "it was waited for to its own end, 300 seconds"


@pytest.mark.slow
def test_a_job_dies_with_a_parent_that_was_killed(tmp_path: Path) -> None:
    parent = subprocess.Popen([sys.executable, "-c", ORPHANING, str(tmp_path)])
    pid = tmp_path / "sleep" / "pid"
    try:
        assert until(lambda: pid.is_file() and pid.read_text() != "")
        assert is_alive(int(pid.read_text()))
    finally:
        parent.kill()
        parent.wait()
    assert until(lambda: not is_alive(int(pid.read_text())), 60)
