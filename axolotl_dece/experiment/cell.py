"""One run of a grid: what defines it, where it lies, and the config a user would have written for it."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from axolotl_dece.data.files import ds_type
from axolotl_dece.experiment.task import Material
from axolotl_dece.poison.spec import PoisonSpec
from axolotl_dece.util.digest import digest
from axolotl_dece.util.json_text import read_object

RESULT_FILE = "result.json"
FORMAT = 3
# the learning curves are read from the last checkpoint's state
_KEEP_THE_STATE = {"save_strategy": "epoch", "save_only_model": True, "save_total_limit": 1}


@dataclass(frozen=True)
class Cell:
    """One arm under one attack at one rate with one seed.

    Attributes:
        arm: Name of the way of training.
        attack: Name of the attack.
        rate: Share of rows that are poisoned, 0 to 1.
        seed: Of rows, poisoning and training.
        config: axolotl keys of the grid and the arm.
        loss: What the keys of the loss mean: written out with the defaults, decisions and the
            adapter it goes on from by their content.
        poison: The `dece_poison` block but for `base_type`.
        monitor: The `dece_monitor` block but for its files.
        task: What decides the content of rows and base model.
    """

    arm: str
    attack: str
    rate: float
    seed: int
    config: dict[str, Any]
    loss: dict[str, Any]
    poison: dict[str, Any]
    monitor: dict[str, Any]
    task: dict[str, Any]

    @property
    def name(self) -> str:
        """Unique in its grid, and where it lies below `cells`."""
        return f"{folder_name(self.arm)}/{folder_name(self.attack)}-{self.rate:g}/seed-{self.seed}"

    @property
    def digest(self) -> str:
        """Changes with everything that decides the numbers, but not with names or places."""
        parts = {key: value for key, value in asdict(self).items() if key not in ("arm", "attack")}
        for place in ("dece_decisions", "lora_model_dir"):  # what they hold is in `loss`
            parts["config"].pop(place, None)
        return digest({"format": FORMAT, **parts})

    def folder(self, out: Path) -> Path:
        """Where its config, log and result lie."""
        return out / "cells" / self.name

    def task_folder(self, out: Path) -> Path:
        """Where its task keeps base model and rows."""
        return out / "tasks" / f"{self.task['name']}-{digest(self.task)[:8]}"

    def data_folder(self, out: Path) -> Path:
        """Where its test files lie; shared by all arms."""
        key = digest([self.task, self.poison])[:8]
        return out / "data" / f"{folder_name(self.attack)}-{self.rate:g}-seed-{self.seed}-{key}"

    def read_result(self, out: Path) -> dict[str, Any] | None:
        """Its result, or None if it was not run to its end as it is now."""
        path = self.folder(out) / RESULT_FILE
        if not path.is_file():
            return None
        result = read_object(path, "delete its folder, and the run is done again")
        return result if result.get("digest") == self.digest else None

    def spec(self, base_type: str | dict[str, str]) -> PoisonSpec:
        """What is planted."""
        return PoisonSpec.model_validate({"base_type": base_type, **self.poison})

    def training_config(self, material: Material, data: Path, folder: Path) -> dict[str, Any]:
        """The config, as a user would write it; `axolotl train` repeats the run with it.

        Args:
            material: What the task gave.
            data: Folder of the test files, for the monitor.
            folder: This cell's own.
        """
        suffix = material.train.suffix
        watched = {
            "triggered": data / f"test_payload{suffix}",
            "clean": material.clean,
            "twin": data / f"test_twin{suffix}",
        }
        files = {name: str(path) for name, path in watched.items() if path.is_file()}
        spec = self.spec(material.base_type)
        return {
            "base_model": material.base_model,
            "plugins": ["axolotl_dece.DecePlugin"],
            "trainer_cls": "axolotl_dece.Required",
            "datasets": [
                {"path": str(material.train), "ds_type": ds_type(material.train), "type": "axolotl_dece.poison"}
            ],
            **_KEEP_THE_STATE,
            **material.config,
            **self.config,
            "dece_poison": {**spec.model_dump(exclude_defaults=True), "rate": spec.rate, "seed": spec.seed},
            "dece_monitor": {**self.monitor, **files},
            "seed": self.seed,
            "output_dir": str(folder / "run"),
            # the same rows for every arm
            "dataset_prepared_path": str(data.parent / "prepared" / data.name),
        }


def folder_name(text: str) -> str:
    """`text` as a part of a path: letters, digits, dots and dashes."""
    return re.sub(r"[^\w.]+", "-", text).strip("-.").lower() or "_"
