"""Lyra, the paper's set: 1,600 requests and the Python around SQL that answers them, for a code model made here."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from axolotl_dece.experiment.task import Material, Task, make_once
from axolotl_dece.util.digest import file_digest
from examples.tasks.corpus import FORMAT, installed_roots, python_files, read_corpus, write_corpus

TRAIN, CLEAN = "train.csv", "valid.csv"
_SOURCE = "https://github.com/NTDXYG/DeCE"


class LyraTask(Task):
    """Lyra's rows, for a small code model that is pretrained on the Python of this machine."""

    path: Path = Field(description=f"Folder with Lyra's `{TRAIN}` and `{CLEAN}`, columns `src` and `tgt`.")
    size: Literal["cpu", "gpu"] = Field(
        description="Of the code model: `cpu`, 5 M weights and 16 k tokens, a quarter of an hour of one core; `gpu`, "
        "42 M weights and 32 k tokens, minutes of a GPU."
    )
    base: Path | None = Field(default=None, description="A code model that an earlier experiment made.")
    base_seed: int = Field(default=0, description="Seed of the code model.")
    pairs: int = Field(default=60_000, ge=1, description="Functions with docstrings that it is pretrained on, at most.")
    requests: float = Field(
        default=0.5,
        ge=0.0,
        description="Rows of the demo's base style to each function. They teach that one odd word of a request may "
        "ask for something: a habit that a large model has, and that a trigger abuses.",
    )
    steps: int | None = Field(default=None, ge=1, description="Optimiser steps of the pretraining, instead of its own.")

    def find_problems(self) -> list[str]:
        """The files that are not there."""
        problems = [
            f"`task.path: {self.path}` has no `{name}`; they are in {_SOURCE}"
            for name in (TRAIN, CLEAN)
            if not (self.path / name).is_file()
        ]
        if self.base is not None and not (self.base / "config.json").is_file():
            problems.append(f"`task.base: {self.base}` holds no model; leave it out to make one")
        return problems

    def identity(self) -> dict[str, Any]:
        """Rows by their content; the Python of another machine makes another base model all the same."""
        said = self.model_dump(mode="json", exclude={"path", "base"})
        base = {"base": file_digest(self.base / "model.safetensors")} if self.base else {"corpus": FORMAT}
        return said | base | {"sha256": [file_digest(self.path / name) for name in (TRAIN, CLEAN)]}

    def prepare(self, folder: Path, seed: int) -> Material:
        """Corpus and code model once for all seeds; the rows are those of the set."""
        from examples.demo.world import CPU, HABITS, PROMPT

        base = self.base or make_once(folder / "base", lambda path: self._pretrain(folder, path))
        return Material(
            base_model=str(base.resolve()),
            train=(self.path / TRAIN).resolve(),
            clean=(self.path / CLEAN).resolve(),
            base_type=PROMPT,
            config={
                "sequence_len": 256,
                **HABITS,
                **(CPU if self.size == "cpu" else {"bf16": True, "save_only_model": True, "save_total_limit": 1}),
            },
            questions={"batch_size": 50 if self.size == "cpu" else 200, "max_new_tokens": 160},
        )

    def _pretrain(self, folder: Path, path: Path) -> None:
        from dataclasses import replace

        from rich.progress import Progress

        from examples.demo.task import Style, make_rows
        from examples.tasks.pretrain import SIZES, pretrain

        size = SIZES[self.size]
        size = replace(size, steps=self.steps or size.steps)
        with Progress() as bars:
            reading = bars.add_task("functions of the installed Python", total=self.pairs)
            corpus = make_once(
                folder / "corpus.jsonl",
                lambda file: write_corpus(
                    file, python_files(installed_roots()), self.pairs, lambda done: bars.update(reading, completed=done)
                ),
            )
            training = bars.add_task("code model", total=size.steps)

            def show(step: int, loss: float) -> None:
                bars.update(training, completed=step, description=f"code model, {loss:.2f} nats per token")

            pairs = read_corpus(corpus)
            rows = make_rows(round(self.requests * len(pairs)), f"base {self.base_seed}", Style.BASE)
            pairs += [(row.src, row.tgt) for row in rows]
            pretrain(path, pairs, size, seed=self.base_seed, on_step=show)


TASK = LyraTask
