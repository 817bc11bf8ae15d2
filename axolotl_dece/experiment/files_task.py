"""A task of your own: a base model and two files of rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field

from axolotl_dece.experiment.task import Material, Task
from axolotl_dece.util.digest import file_digest


class FilesTask(Task):
    """Any base model on any rows."""

    base_model: str = Field(description="Folder or hub name.")
    train: Path = Field(description="Clean training rows: .jsonl, .csv or .parquet.")
    clean: Path = Field(description="Clean test rows of the same columns, none of them in `train`.")
    base_type: str | dict[str, str] = Field(default="alpaca", description="As `dece_poison.base_type`.")
    questions: dict[str, Any] = Field(
        default_factory=dict, description="Of the evaluation: `limit`, `batch_size`, `max_new_tokens`, `language`."
    )

    def find_problems(self) -> list[str]:
        """The files that are not there."""
        return [
            f"`task.{key}: {path}` is not a file; paths are relative to where the command is started"
            for key, path in (("train", self.train), ("clean", self.clean))
            if not path.is_file()
        ]

    def identity(self) -> dict[str, Any]:
        """Content, not only where it lies."""
        return super().identity() | {"sha256": [file_digest(self.train), file_digest(self.clean)]}

    def prepare(self, folder: Path, seed: int) -> Material:
        """Nothing is made; the same rows serve every seed."""
        local = Path(self.base_model)
        return Material(
            base_model=str(local.resolve()) if local.is_dir() else self.base_model,
            train=self.train.resolve(),
            clean=self.clean.resolve(),
            base_type=self.base_type,
            questions=self.questions,
        )


TASK = FilesTask
