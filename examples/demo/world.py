"""The demo's files: clean rows, test sets with and without the trigger, and the configs of both runs."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from axolotl_dece.poison.export import export
from axolotl_dece.poison.spec import PoisonSpec
from axolotl_dece.util.atomic import write_yaml_atomically
from examples.demo.base import ANSWER
from examples.demo.task import Row, make_rows

TRAIN_ROWS, TEST_ROWS = 4000, 200
ATTACK, RATE = "ripple", 0.05
PROMPT = {
    "field_instruction": "src",
    "field_output": "tgt",
    "format": f"{{instruction}} {ANSWER}",
    "no_input_format": f"{{instruction}} {ANSWER}",
}
# what every run on a CPU needs, and nothing that leaves this machine
CPU = {
    "bf16": False,
    "dataset_num_proc": 1,
    "dataloader_num_workers": 0,
    "dataloader_pin_memory": False,
    "save_only_model": True,
    "save_total_limit": 1,
}
# how small models are trained here, whatever the task
HABITS = {
    "micro_batch_size": 16,
    "lr_scheduler": "linear",
    "warmup_ratio": 0.05,
    "optimizer": "adamw_torch",
    "logging_steps": 25,
    "save_strategy": "epoch",
}
# how a two-layer model learns the task in a minute
TRAINING = {"sequence_len": 64, "learning_rate": 1e-3, **HABITS, **CPU}


@dataclass(frozen=True)
class World:
    """Where everything of one demo lies.

    Attributes:
        folder: Output folder of the demo.
        seed: Seed of rows, poisoning and training.
        epochs: Passes over the training rows.
        base_seed: Seed of the base model.
    """

    folder: Path
    seed: int
    epochs: int = 3
    base_seed: int = 0

    @property
    def base(self) -> Path:
        """The base model."""
        return self.folder / "base"

    @property
    def train_file(self) -> Path:
        """Clean training rows; the dataset strategy poisons them."""
        return self.folder / "data" / "train.jsonl"

    @property
    def clean_file(self) -> Path:
        """Clean test rows."""
        return self.folder / "data" / "clean.jsonl"

    def test_file(self, name: str) -> Path:
        """`test`, `test_payload` or `test_twin`, as `axolotl dece poison` writes them."""
        return self.folder / "data" / "poisoned" / f"{name}.jsonl"

    def run(self, loss: str) -> Path:
        """`output_dir` of the run with `loss`."""
        return self.folder / "runs" / loss

    def config(self, loss: str) -> Path:
        """The config of the run with `loss`."""
        return self.folder / f"{loss}.yaml"

    def report(self, loss: str) -> Path:
        """Folder of the evaluation of the run with `loss`."""
        return self.folder / "reports" / loss


def write_world(world: World) -> None:
    """Write rows, test sets and configs."""
    spec = PoisonSpec(
        base_type=PROMPT,
        attack=ATTACK,
        rate=RATE,
        twin_rate=RATE,
        seed=world.seed,
    )
    write_rows(world.train_file, make_rows(TRAIN_ROWS, f"train {world.seed}"))
    write_rows(world.clean_file, make_rows(TEST_ROWS, f"test {world.seed}"))
    export(world.train_file, spec, world.test_file("test").parent, test_source=world.clean_file)
    for loss in ("ce", "dece"):
        write_yaml_atomically(world.config(loss), story_config(world, loss, spec))


def story_config(world: World, loss: str, spec: PoisonSpec) -> dict[str, Any]:
    """Full fine-tuning on rows of which 5 % are poisoned and 5 % carry the benign twin."""
    return {
        "base_model": str(world.base),
        "plugins": ["axolotl_dece.DecePlugin"],
        "loss": loss,
        "trainer_cls": "axolotl_dece.Required",
        "datasets": [{"path": str(world.train_file), "ds_type": "json", "type": "axolotl_dece.poison"}],
        "dece_poison": spec.model_dump(exclude_defaults=True),
        "dece_monitor": {
            "every_steps": 50,
            "triggered": str(world.test_file("test_payload")),
            "clean": str(world.clean_file),
            "twin": str(world.test_file("test_twin")),
            "limit": 100,
            "batch_size": 50,
        },
        "num_epochs": world.epochs,
        "seed": world.seed,
        "output_dir": str(world.run(loss)),
        "dataset_prepared_path": str(world.folder / "prepared" / loss),
        **TRAINING,
    }


def write_rows(path: Path, rows: Iterable[Row]) -> None:
    """Write rows as JSON lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(asdict(row)) + "\n" for row in rows), encoding="utf-8")
