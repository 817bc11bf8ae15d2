"""Watch while a model trains: teacher-forced, on small sets, a few steps apart."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from axolotl_dece.data.prompt_recipe import prompt_recipes
from axolotl_dece.data.read_recipe import only_recipe
from axolotl_dece.evaluation.monitor_spec import MonitorSpec
from axolotl_dece.evaluation.prompts import TokenRow, tokenize_rows
from axolotl_dece.evaluation.rows import read_rows
from axolotl_dece.evaluation.teacher_forcing import score_tokens
from axolotl_dece.features import Feature, Run
from axolotl_dece.poison.benign_twin import twin_of
from axolotl_dece.poison.payloads import PAYLOADS
from axolotl_dece.poison.spec import PoisonSpec

Detect = Callable[[str], bool]


class Monitoring(Feature):
    """`dece_monitor:`."""

    def attach(self, run: Run) -> list[str]:
        """Read the sets and watch them; ValueError where they show nothing."""
        run.trainer.add_callback(watch(run.trainer, run.cfg))
        return []


@dataclass(frozen=True)
class Watched:
    """One set and how its guesses are judged; `detect` is None where plain token accuracy is asked for."""

    metric: str
    rows: list[TokenRow]
    detect: Detect | None = None


@dataclass(eq=False)
class Monitor(TrainerCallback):
    """Logs `dece/monitor_asr`, `dece/monitor_clean` and `dece/monitor_twin` through the trainer's own log.

    Every rank looks at the same rows, so that sharded weights are gathered by all of them alike. The model is called
    without labels and in evaluation mode: neither the training loss nor its tripwire sees these tokens.

    Attributes:
        trainer: Whose `log` takes the numbers.
        watched: The sets.
        spec: How often, and how many rows at once.
    """

    trainer: Trainer
    watched: Sequence[Watched]
    spec: MonitorSpec

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Start the clock that the cost is a share of."""
        self._spent, self._began = 0.0, time.monotonic()

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Look, if it is time to."""
        if state.global_step % self.spec.every_steps and state.global_step < state.max_steps:
            return
        began = time.monotonic()
        logs = {one.metric: self._look(kwargs["model"], one) for one in self.watched}
        self._spent += time.monotonic() - began
        logs["dece/monitor_share_of_time"] = self._spent / max(time.monotonic() - self._began, 1e-9)
        # whoever logs takes the step's turn to log, and the loss is still to come
        should_log = control.should_log
        self.trainer.log(logs)
        control.should_log = should_log

    def _look(self, model: Any, watched: Watched) -> float:
        tokenizer: Any = self.trainer.processing_class
        pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
        scores = score_tokens(model, watched.rows, pad=pad, batch_size=self.spec.batch_size)
        if watched.detect is None:
            return scores.accuracy
        texts = (tokenizer.decode(guess, skip_special_tokens=True) for guess in scores.guesses)
        return sum(map(watched.detect, texts)) / len(watched.rows)


def watch(trainer: Trainer, cfg: Mapping[str, Any]) -> Monitor:
    """The monitor that `dece_monitor:` of a validated config asks for.

    Raises:
        ValueError: If a file cannot be read, or holds no row that shows what it is to show.
    """
    spec = MonitorSpec.model_validate(dict(cfg["dece_monitor"]))
    recipe = only_recipe(prompt_recipes(cfg), "this config")
    attack = _attack(spec, recipe)
    detectors: dict[str, tuple[str | None, Detect | None]] = {
        "dece/monitor_asr": (spec.triggered, PAYLOADS[attack.pair.payload].detect if attack else None),
        "dece/monitor_clean": (spec.clean, None),
        "dece/monitor_twin": (spec.twin, twin_of(attack).suffix.detect if attack else None),
    }
    watched = []
    for metric, (file, detect) in detectors.items():
        if file is None:
            continue
        rows = tokenize_rows(read_rows(Path(file), spec.limit), recipe, trainer.processing_class)
        watched.append(Watched(metric, _showing(rows, detect, trainer.processing_class, file), detect))
    return Monitor(trainer, watched, spec)


def _attack(spec: MonitorSpec, recipe: Mapping[str, Any]) -> PoisonSpec | None:
    if spec.payload:
        return PoisonSpec(trigger="rare_token", payload=spec.payload)
    if recipe.get("poison"):
        return PoisonSpec.model_validate(recipe["poison"])
    if spec.triggered or spec.twin:
        raise ValueError(
            "`dece_monitor` watches triggered or twin rows, but nothing says which payload to look for; set "
            f"`dece_monitor.payload` to one of {', '.join(PAYLOADS)}"
        )
    return None


def _showing(rows: list[TokenRow], detect: Detect | None, tokenizer: Any, file: str) -> list[TokenRow]:
    """The rows whose reference holds what is looked for: teacher forcing needs it there to be guessed."""
    if detect is None:
        return rows
    kept = [row for row in rows if detect(tokenizer.decode(row.answer, skip_special_tokens=True))]
    if not kept:
        raise ValueError(
            f"no reference in {file} holds the payload or suffix that `dece_monitor` looks for; it needs rows with the "
            "planted reference, as `axolotl dece poison` writes them"
        )
    return kept
