"""Tasks by name: the `task:` block of a grid is one of these."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from axolotl_dece.experiment.tasks.files import FilesTask
from axolotl_dece.experiment.tasks.lyra import LyraTask
from axolotl_dece.experiment.tasks.material import Material, Task
from axolotl_dece.experiment.tasks.synthetic import SyntheticTask

__all__ = ["AnyTask", "Material", "Task"]

AnyTask = Annotated[SyntheticTask | LyraTask | FilesTask, Field(discriminator="name")]
