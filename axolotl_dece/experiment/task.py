"""What a task gives to a run, and how its dear parts are made once."""

from __future__ import annotations

import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict


@dataclass(frozen=True)
class Material:
    """What one run of a task is made of.

    Attributes:
        base_model: Folder or hub name.
        train: Clean training rows: .jsonl, .csv or .parquet; the dataset strategy poisons them.
        clean: Clean test rows, of the same columns.
        base_type: How a row becomes a prompt, as `dece_poison.base_type`.
        config: axolotl keys that this task needs on this machine; the grid's own keys win.
        questions: Of the evaluation: `limit`, `batch_size`, `max_new_tokens`, `language`.
    """

    base_model: str
    train: Path
    clean: Path
    base_type: str | dict[str, str] = "alpaca"
    config: dict[str, Any] = field(default_factory=dict)
    questions: dict[str, Any] = field(default_factory=dict)


class Task(BaseModel, ABC):
    """The `task:` block of a grid; each kind has keys of its own.

    Importing a task must be cheap: torch and its friends are imported in `prepare`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str

    def find_problems(self) -> list[str]:
        """What keeps this task from being prepared, such as files that are missing; asked before anything runs."""
        return []

    def identity(self) -> dict[str, Any]:
        """What decides the content of its rows and its base model; other content means other runs."""
        return self.model_dump(mode="json")

    @abstractmethod
    def prepare(self, folder: Path, seed: int) -> Material:
        """Make what is missing, or find it there; called again in the process of every run.

        Args:
            folder: This task's own; another task, or other keys of this one, get another folder.
            seed: Of the run; parts that do not depend on it are shared by all seeds.

        Raises:
            ValueError: If it cannot be made.
        """


def make_once(path: Path, make: Callable[[Path], object]) -> Path:
    """`path`, made by `make` unless it is there; it is there whole or not at all.

    Args:
        path: A file or a folder.
        make: Writes it to the path it is given, which has the same suffix.
    """
    if path.exists():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{os.getpid()}-{path.name}")
    try:
        make(scratch)
        try:
            scratch.rename(path)
        except OSError:
            # a folder that another process has made meanwhile is as good
            if not path.exists():
                raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        if scratch.is_file():
            scratch.unlink()
    return path


def find_task(block: Any) -> Task:
    """The task that a `task:` block names: `files`, or a module that holds a `Task` class as `TASK`.

    Raises:
        ValueError: It names none, or has keys that the task does not know (pydantic's ValidationError).
    """
    name = block.get("name") if isinstance(block, Mapping) else None
    if not isinstance(name, str):
        raise ValueError("`task` needs a `name`: `files`, or a module with a class `TASK`, such as examples.tasks.lyra")
    module = "axolotl_dece.experiment.files_task" if name == "files" else name
    if find_spec(module.partition(".")[0]) is None or find_spec(module) is None:
        raise ValueError(
            f"`task.name: {name}` is neither `files` nor a module that can be imported from here; start in the folder "
            "that holds it, with PYTHONPATH=."
        )
    task: type[Task] = import_module(module).TASK
    return task.model_validate(block)
