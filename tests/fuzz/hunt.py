"""`make fuzz`: every target in turn, with new seeds, until the time is up. What fails is a line for `seeds.txt`.

A target makes a damaged input from its seed and gives it to the code that reads such inputs. It may be refused, with a
ValueError; any other error, and an answer that takes longer than `BOUND`, is a fault.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from types import FrameType

BOUND = 30.0
"""Seconds of processor time for one input, many times what the slowest takes."""
SEEDS = Path(__file__).with_name("seeds.txt")


class Hang(BaseException):
    """An input kept its reader busy for too long; nothing that is caught on the way."""


def attempt(name: str, seed: int) -> None:
    """Give the target `name` the input of `seed`; whatever it raises is a fault."""
    from tests.fuzz.targets import TARGETS

    with tempfile.TemporaryDirectory() as folder, _bounded():
        TARGETS[name](Random(f"{name} {seed}"), Path(folder))


def kept_seeds() -> list[tuple[str, int]]:
    """What failed once."""
    lines = SEEDS.read_text(encoding="utf-8").splitlines()
    return [(line.split()[0], int(line.split()[1])) for line in lines if line and not line.startswith("#")]


def hunt(seconds: float, names: list[str] | None = None, first: int | None = None) -> list[tuple[str, int]]:
    """Try new seeds for `seconds`, targets in turn; the first fault of each kind is printed, and all are returned."""
    from tests.fuzz.targets import TARGETS

    seed, faults, known = time.time_ns() // 1000 if first is None else first, [], set()
    tried, ends = dict.fromkeys(names or TARGETS, 0), time.monotonic() + seconds
    while time.monotonic() < ends:
        for name in tried:
            begins = time.monotonic()
            # so that quick targets get as much time as slow ones
            while time.monotonic() - begins < min(1.0, seconds / len(tried)):
                seed, tried[name] = seed + 1, tried[name] + 1
                try:
                    attempt(name, seed)
                except (Exception, Hang) as error:
                    faults.append((name, seed))
                    kind = (name, type(error).__name__, traceback.extract_tb(error.__traceback__)[-1].lineno)
                    if kind not in known:
                        known.add(kind)
                        print(f"\n{name} {seed}", file=sys.stderr, flush=True)  # noqa: T201
                        traceback.print_exc()
    print(", ".join(f"{name}: {count} inputs" for name, count in tried.items()))  # noqa: T201
    return faults


@contextmanager
def _bounded() -> Iterator[None]:
    def stop(_number: int, _frame: FrameType | None) -> None:
        raise Hang(f"no answer after {BOUND:g} s of processor time")

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, BOUND)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def _hush() -> None:
    """What axolotl and datasets say of every input would bury a fault."""
    from datasets import disable_progress_bars

    logging.disable(logging.CRITICAL)
    disable_progress_bars()


if __name__ == "__main__":
    _hush()
    found = hunt(float(os.environ.get("DECE_FUZZ_SECONDS", "3600")), sys.argv[1:] or None)
    for fault in found:
        print(*fault)  # noqa: T201
    sys.exit(bool(found))
