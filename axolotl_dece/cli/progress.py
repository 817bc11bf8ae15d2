"""A bar with rows, time left and tokens per second, for work that asks a model many things."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


class Shown:
    """Bars that stand in the terminal while their block runs."""

    _bars: Progress

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()


class Bar(Shown):
    """What `evaluation.measure` calls its progress, shown in a terminal."""

    def __init__(self, console: Console) -> None:
        columns = (TextColumn("{task.description:>9}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._bars = Progress(*columns, TextColumn("{task.fields[speed]}"), console=console)
        self._task = self._bars.add_task("loading", total=None, speed="")
        self._tokens = 0
        self._began = time.monotonic()

    def begin(self, name: str, rows: int) -> None:
        """Start a line for the set `name`."""
        if self._tokens == 0:
            self._bars.update(self._task, visible=False)
        self._tokens, self._began = 0, time.monotonic()
        self._task = self._bars.add_task(name, total=rows, speed="")

    def advance(self, rows: int, tokens: int) -> None:
        """Move the bar."""
        self._tokens += tokens
        speed = self._tokens / max(time.monotonic() - self._began, 1e-9)
        self._bars.update(self._task, advance=rows, speed=f"{speed:,.0f} tokens/s")


@contextmanager
def quiet() -> Iterator[None]:
    """Keep other libraries' progress bars and news out of ours while the block runs."""
    import datasets
    from transformers.utils import logging as transformers_logging

    bars_were_on = datasets.utils.logging.is_progress_bar_enabled()
    verbosity = transformers_logging.get_verbosity()
    datasets.disable_progress_bars()
    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    loading = logging.getLogger("axolotl.utils.data.wrappers")
    level = loading.level
    loading.setLevel(logging.WARNING)
    try:
        yield
    finally:
        loading.setLevel(level)
        transformers_logging.set_verbosity(verbosity)
        transformers_logging.enable_progress_bar()
        if bars_were_on:
            datasets.enable_progress_bars()
