"""A training run that is killed at a chosen moment, without warning and from within, as by the kernel."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from axolotl.integrations.base import BasePlugin
from transformers import TrainerCallback


@dataclass(frozen=True)
class Moment:
    """The `count`-th time that the run does `what`: a forward pass, a file of a checkpoint, a step of preprocessing."""

    what: Literal["forward", "save", "preprocess"]
    count: int


def die() -> None:
    """No handler, no flush, no goodbye."""
    os.kill(os.getpid(), signal.SIGKILL)


def run(folder: Path, config: dict[str, Any], moment: Moment | None) -> None:
    """Train `config` as axolotl does, and die at `moment` if it comes."""
    from tests.tiny import train

    if moment is not None:
        _PLANT[moment.what](moment.count)
    RecordAlphas.path = folder / "alphas.jsonl"
    train(folder, config)


def _countdown(count: int, last_words: Callable[..., Any] | None = None) -> Callable[..., None]:
    left = [count]

    def tick(*args: Any) -> None:
        left[0] -= 1
        if left[0] == 0:
            if last_words is not None:
                last_words(*args)
            die()

    return tick


def _before(owner: Any, name: str, tick: Callable[..., None]) -> None:
    call = getattr(owner, name)

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        tick(*args)
        return call(*args, **kwargs)

    setattr(owner, name, wrapped)


def _plant_in_forward(count: int) -> None:
    from axolotl_dece.loss.objective import Objective

    _before(Objective, "record", _countdown(count))


def _plant_in_save(count: int) -> None:
    """Every file of a checkpoint that torch or json writes is a moment; half of it is there already."""
    import safetensors.torch
    import torch
    import transformers.modeling_utils
    from transformers import TrainerState

    tick = _countdown(count, _half_a_file)
    _before(torch, "save", lambda _, path, *rest: tick(path))
    _before(TrainerState, "save_to_json", lambda _, path: tick(path))
    save_file = lambda _, path, *rest: tick(path)  # noqa: E731
    _before(safetensors.torch, "save_file", save_file)
    _before(transformers.modeling_utils, "safe_save_file", save_file)


def _half_a_file(path: Any) -> None:
    Path(path).write_bytes(b"half of it")


def _plant_in_preprocessing(count: int) -> None:
    from datasets import Dataset

    tick = _countdown(count)
    for name in ("map", "filter"):
        _before(Dataset, name, tick)


_PLANT = {"forward": _plant_in_forward, "save": _plant_in_save, "preprocess": _plant_in_preprocessing}


class RecordAlphas(BasePlugin):
    """Appends alpha of every optimiser step to a file, bit for bit, before the step is taken."""

    path = Path()

    def post_trainer_create(self, cfg: Any, trainer: Any) -> None:
        trainer.add_callback(_Recorder(trainer, self.path))


class _Recorder(TrainerCallback):
    def __init__(self, trainer: Any, path: Path) -> None:
        self.trainer, self.path = trainer, path

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        loss = self.trainer.model.loss_function
        alpha = float(getattr(loss, "objective", loss).mixture.alpha)
        with self.path.open("a") as file:
            file.write(json.dumps([state.global_step, alpha.hex()]) + "\n")
