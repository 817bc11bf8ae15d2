"""Tasks whose preparation goes wrong, for the processes that have to bear it."""

import os
import signal
import time
from pathlib import Path
from typing import Literal

from axolotl_dece.experiment.task import Material, Task


class Told(Task):
    """Does what it is told, in the process of a job."""

    name: Literal["told"] = "told"
    act: Literal["finish", "raise", "kill", "sleep"]

    def prepare(self, folder: Path, seed: int) -> Material:
        """Leave the process's id, then act."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "pid").write_text(str(os.getpid()))
        if self.act == "raise":
            raise ValueError("this cannot be prepared")
        if self.act == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.act == "sleep":
            time.sleep(300)
        return Material("m", folder, folder)
