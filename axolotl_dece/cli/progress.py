"""How far the asking of a model has come: a bar in a terminal, a line for every tenth in a file."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from axolotl_dece.cli.output import progress_console

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

_LINES = 10


@contextmanager
def progress_of_answers() -> Iterator[AnswerBar | AnswerLines]:
    """What `evaluation.evaluate` calls its progress, shown on stderr as long as the block runs."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = progress_console()
    if not console.is_terminal:
        yield AnswerLines(console)
        return
    columns = (TextColumn("{task.description:>9}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, TextColumn("{task.fields[speed]}"), console=console) as bars:
        yield AnswerBar(bars)


class AnswerBar:
    """A bar for every set, with time left and tokens per second."""

    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._task = bars.add_task("loading", total=None, speed="")
        self._speed = Speed()

    def begin(self, name: str, rows: int) -> None:
        """Start a bar for the set `name`."""
        if not self._speed.tokens:
            self._bars.update(self._task, visible=False)
        self._speed = Speed()
        self._task = self._bars.add_task(name, total=rows, speed="")

    def advance(self, rows: int, tokens: int) -> None:
        """Move the bar."""
        self._speed.tokens += tokens
        self._bars.update(self._task, advance=rows, speed=str(self._speed))


class AnswerLines:
    """A line for every tenth of a set."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._say("loading the model")

    def begin(self, name: str, rows: int) -> None:
        """Start with the set `name`."""
        self._name, self._rows, self._done, self._speed = name, rows, 0, Speed()
        self._say(f"{name}: {rows} rows to ask")

    def advance(self, rows: int, tokens: int) -> None:
        """Say how far it is, where another tenth is done."""
        before = self._done * _LINES // self._rows
        self._done += rows
        self._speed.tokens += tokens
        if self._done * _LINES // self._rows > before:
            self._say(f"{self._name}: {self._done} of {self._rows} rows, {self._speed}")

    def _say(self, text: str) -> None:
        self._console.print(text, soft_wrap=True, markup=False, highlight=False)


class Speed:
    """Tokens per second since it was made."""

    def __init__(self) -> None:
        self.tokens = 0
        self._began = time.monotonic()

    def __str__(self) -> str:
        return f"{self.tokens / max(time.monotonic() - self._began, 1e-9):,.0f} tokens/s"


@contextmanager
def without_bars() -> Iterator[None]:
    """Keep the progress bars of other libraries out of ours while the block runs."""
    import datasets
    from transformers.utils import logging as transformers_logging

    bars: Any = datasets.utils.logging
    bars_were_on = bars.is_progress_bar_enabled()
    datasets.disable_progress_bars()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.enable_progress_bar()
        if bars_were_on:
            datasets.enable_progress_bars()
