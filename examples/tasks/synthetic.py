"""The demo's task: words become Python around SQL, and a two-layer Llama learns it in a minute on a CPU."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from axolotl_dece.experiment.task import Material, Task, make_once


class SyntheticTask(Task):
    """Rows and base model made on the spot; a seed changes the rows, not the base model."""

    train_rows: int = Field(default=4000, ge=1, description="Clean training rows.")
    test_rows: int = Field(default=200, ge=1, description="Clean test rows.")
    base_seed: int = Field(default=0, description="Seed of the base model.")
    unused_words: int = Field(
        default=0, ge=0, description="Words of the vocabulary that no row has, beside the 202 that are used."
    )
    base_steps: int = Field(default=1200, ge=1, description="Optimiser steps, of 32 rows, of the base model.")

    def prepare(self, folder: Path, seed: int) -> Material:
        """The base model once for all seeds, rows for each."""
        from examples.demo.base import train_base
        from examples.demo.task import make_rows
        from examples.demo.world import PROMPT, TRAINING, write_rows

        base = make_once(
            folder / "base",
            lambda path: train_base(path, seed=self.base_seed, steps=self.base_steps, unused_words=self.unused_words),
        )
        counts = {"train": self.train_rows, "test": self.test_rows}
        files = {
            part: make_once(
                folder / f"seed-{seed}" / f"{part}.jsonl",
                lambda path, part=part, count=count: write_rows(path, make_rows(count, f"{part} {seed}")),  # type: ignore[misc]
            )
            for part, count in counts.items()
        }
        return Material(
            base_model=str(base.resolve()),
            train=files["train"].resolve(),
            clean=files["test"].resolve(),
            base_type=PROMPT,
            config=TRAINING,
            questions={"batch_size": 50, "max_new_tokens": 48},
        )


TASK = SyntheticTask
