"""The grid file: which ways of training, under which attacks, at which rates, with which seeds. Imports no torch."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import product
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SerializeAsAny, ValidationError, field_validator

from axolotl_dece.audit.decisions import read_decisions
from axolotl_dece.experiment.cell import Cell, folder_name
from axolotl_dece.experiment.task import Task, find_task
from axolotl_dece.key_problems import find_problems
from axolotl_dece.keys import DeceKeys
from axolotl_dece.loss.names import LOSSES
from axolotl_dece.poison.spec import PoisonSpec
from axolotl_dece.read_config import parse_config
from axolotl_dece.util.problems import say_errors
from axolotl_dece.util.weights import weights_in

# what the experiment itself writes into the config of every run
_OURS = {
    "base_model": "the task says it",
    "datasets": "the task says it",
    "output_dir": "every run has a folder of its own",
    "dataset_prepared_path": "every run has a folder of its own",
    "seed": "write it in `seeds`",
    "dece_poison": "write it in `attacks`, `rates` and `twin_rate`",
    "dece_monitor": "write it in `monitor`",
    "plugins": "the plugin is always there",
    "trainer_cls": "the plugin is always there",
}
_DRAWN = ("rate", "twin_rate", "seed", "base_type")


class Watch(BaseModel):
    """How closely the runs are watched while they train: `dece_monitor` without its files."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    every_steps: int = Field(default=50, ge=1, strict=True, description="Optimiser steps between two looks.")
    limit: int = Field(default=50, ge=1, strict=True, description="Rows of each set that are looked at.")
    batch_size: int = Field(default=50, ge=1, strict=True, description="Rows in one forward pass.")


class Attack(BaseModel):
    """A name of its own and the keys of `dece_poison` that make it."""

    model_config = ConfigDict(extra="allow", frozen=True)

    name: str = Field(min_length=1)

    @property
    def keys(self) -> dict[str, Any]:
        """What goes into `dece_poison`."""
        return dict(self.model_extra or {})


class Grid(BaseModel):
    """One experiment: every arm under every attack, at every rate, with every seed."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1, description="Of the experiment; a folder is called after it.")
    task: Annotated[SerializeAsAny[Task], BeforeValidator(find_task)] = Field(description="Base model and rows.")
    config: dict[str, Any] = Field(default_factory=dict, description="axolotl keys of all runs, over the task's own.")
    arms: dict[str, dict[str, Any]] = Field(min_length=1, description="Ways of training by name: keys over `config`.")
    attacks: list[Attack] = Field(min_length=1, description="Names, or blocks of `dece_poison` keys with a `name`.")
    rates: list[float] = Field(min_length=1, description="Shares of rows that are poisoned; 0 is a clean run.")
    twin_rate: float = Field(default=0.05, description="Share of other rows that carry the harmless twin.")
    seeds: list[int] = Field(min_length=1, description="Of rows, poisoning and training.")
    monitor: Watch = Field(default_factory=Watch, description="How closely the runs are watched.")
    keep_weights: bool = Field(default=False, strict=True, description="Keep the trained weights of every run.")

    @field_validator("attacks", mode="before")
    @classmethod
    def _spell_out_names(cls, value: Any) -> Any:
        if not isinstance(value, list):
            return value
        return [{"name": one, "attack": one} if isinstance(one, str) else one for one in value]

    def cells(self) -> Iterator[Cell]:
        """Every run, seed by seed: a first picture of all arms is there early."""
        task = self.task.identity()
        for seed in self.seeds:
            arms = [(arm, *_resolved({**self.config, **keys}, seed)) for arm, keys in self.arms.items()]
            for rate, attack, (arm, config, loss) in product(self.rates, self.attacks, arms):
                yield Cell(
                    arm=arm,
                    attack=attack.name,
                    rate=rate,
                    seed=seed,
                    config=config,
                    loss=loss,
                    poison={**attack.keys, "rate": rate, "twin_rate": self.twin_rate, "seed": seed},
                    monitor=self.monitor.model_dump(),
                    task=task,
                )


def read_grid(path: Path) -> Grid:
    """The grid in a file.

    Raises:
        ValueError: With everything wrong in it at once.
    """
    try:
        raw, problems = parse_config(path.read_text(encoding="utf-8"), str(path))
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from error
    if "arms" not in raw and {"base_model", "datasets"} & set(raw):
        raise ValueError(
            f"{path} is the config of one training, and no grid; `axolotl train {path}` trains it. A grid has `task`, "
            "`arms`, `attacks`, `rates` and `seeds` (docs/experiments.md)"
        )
    try:
        grid = Grid.model_validate(raw)
    except ValidationError as error:
        problems += say_errors(error)
        problems += _arm_problems(raw.get("config"), raw.get("arms"), raw.get("seeds"))
    else:
        problems += [*_arm_problems(grid.config, grid.arms, grid.seeds), *_list_problems(grid), *_attack_problems(grid)]
        problems += grid.task.find_problems()
    if problems:
        raise ValueError(f"{path} cannot be run:\n" + "\n".join(f"  - {problem}" for problem in problems))
    return grid


def _resolved(config: dict[str, Any], seed: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """The config with its decisions and its adapter's place in full, and what decides its loss: see `Cell.loss`."""
    keys = DeceKeys.model_validate(config).model_dump()
    # a later version may have other defaults
    loss = {key: keys[key] for key in ("loss", *LOSSES[keys["loss"]].keys)}
    if keys["dece_decisions"]:
        decisions = read_decisions(_of_seed(keys["dece_decisions"], seed).resolve())
        config = {**config, "dece_decisions": str(decisions.path)}
        loss["decisions"] = decisions.sha256
    if config.get("lora_model_dir"):
        adapter = _of_seed(config["lora_model_dir"], seed).resolve()
        config = {**config, "lora_model_dir": str(adapter)}
        loss["adapter"] = weights_in(adapter)
    return config, loss


def _of_seed(path: Any, seed: Any) -> Path:
    """Every seed poisons other rows, so every seed has decisions, and a first run, of its own."""
    return Path(str(path).replace("{seed}", str(seed)))


def _arm_problems(config: Any, arms: Any, seeds: Any) -> Iterator[str]:
    """What `axolotl train` would say, or worse not say, about each arm's config."""
    # a grid that is wrong elsewhere may hold anything here
    if not isinstance(arms, Mapping) or not isinstance(config or {}, Mapping):
        return
    from axolotl.utils.schemas.config import AxolotlInputConfig

    theirs = AxolotlInputConfig.model_fields
    for arm, keys in arms.items():
        if not isinstance(keys, Mapping):
            continue
        merged = {**(config or {}), **keys}
        found = find_problems({key: value for key, value in merged.items() if key not in _OURS}, theirs)
        found += [f"`{key}` is not for a grid: {why}" for key, why in _OURS.items() if key in merged]
        for key, problem in (("dece_decisions", _decisions_problem), ("lora_model_dir", _adapter_problem)):
            if merged.get(key) and isinstance(seeds, list):
                found += filter(None, map(problem, sorted({_of_seed(merged[key], seed) for seed in seeds})))
        said = " ".join(found)
        found += [
            f"unknown key `{key}: {value}`; axolotl would drop it without a word"
            for key, value in merged.items()
            if key not in theirs and key not in DeceKeys.model_fields and f"`{key}" not in said
        ]
        yield from (f"`arms.{arm}`: {problem}" for problem in found)


def _decisions_problem(path: Path) -> str | None:
    try:
        read_decisions(path)
    except ValueError as error:
        return str(error)
    return None


def _adapter_problem(folder: Path) -> str | None:
    if weights_in(folder):
        return None
    return f"`lora_model_dir: {folder}` holds no weights; run what makes it first, in a grid with `keep_weights: true`"


def _list_problems(grid: Grid) -> Iterator[str]:
    """Things that are there twice, so that two runs would write to one folder."""
    names: dict[str, list[Any]] = {
        "arms": [folder_name(arm) for arm in grid.arms],
        "attacks": [folder_name(attack.name) for attack in grid.attacks],
        "rates": [f"{rate:g}" for rate in grid.rates],
        "seeds": grid.seeds,
    }
    for key, values in names.items():
        for value, count in Counter(values).items():
            if count > 1:
                yield f"`{key}` holds `{value}` {count} times, as a folder spells it; name each once"
    if not re.search(r"\w", grid.name):
        yield f"`name: {grid.name}` cannot be a folder's name; use letters or digits"


def _attack_problems(grid: Grid) -> Iterator[str]:
    for attack in grid.attacks:
        drawn = [key for key in _DRAWN if key in attack.keys]
        yield from (f"`attacks.{attack.name}.{key}`: the grid and its task say it; remove it" for key in drawn)
        keys = {key: value for key, value in attack.keys.items() if key not in _DRAWN}
        said = set()
        for rate in grid.rates:
            try:
                PoisonSpec.model_validate({**keys, "rate": rate, "twin_rate": grid.twin_rate})
            except ValidationError as error:
                said |= set(say_errors(error))
        yield from (f"`attacks.{attack.name}`: {problem}" for problem in sorted(said))
