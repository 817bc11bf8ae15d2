"""What can join a run beside the loss. A feature's module is imported when its key is set, and not before.

Whoever adds a feature writes a class with the hooks below in a room of its own, and one line in `FEATURES`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

from axolotl.utils.dict import DictDefault
from transformers import Trainer

from axolotl_dece.data import STRATEGY
from axolotl_dece.step import StepKeeper


@dataclass
class Run:
    """A run whose loss is installed and whose training has not begun: what a feature joins.

    Attributes:
        cfg: The validated config.
        trainer: Takes callbacks.
        keeper: Between trainer and objective; knows the step, the epoch and alpha.
        run_id: What everything that this run writes is known by; a resumed run keeps it.
        config_sha256: Digest of the config as the user wrote it.
        parameters: What decides which weights come out, for the run's record; a feature that changes the rows or the
            loss adds what it applied.
        described: What else the run's record holds.
        planted: Of every training row whether a backdoor was planted in it; None where nothing was poisoned.
    """

    cfg: DictDefault
    trainer: Trainer
    keeper: StepKeeper
    run_id: str
    config_sha256: str
    parameters: dict[str, Any]
    described: dict[str, Any] = field(default_factory=dict)
    planted: list[bool] | None = None


class Feature:
    """The hooks of a feature, in the order they are called; one that has nothing to do there leaves it out."""

    def register(self, cfg: DictDefault) -> None:
        """Look at the config as the user wrote it, before axolotl validates it and before anything expensive."""

    def load_datasets(self, cfg: DictDefault) -> None:
        """Before axolotl loads the rows."""

    def attach(self, run: Run) -> list[str]:
        """Join the run; what the user should know of it, a sentence each."""
        return []

    def finish(self) -> list[str]:
        """After the last weights are saved; what to do next, a sentence each."""
        return []

    def merge(self, adapter: Path, merged: Path) -> None:
        """After an adapter of an earlier run and its base model were saved as one model."""


def _plants(cfg: Mapping[str, Any]) -> bool:
    entries = [*(cfg.get("datasets") or []), *(cfg.get("test_datasets") or [])]
    types = [entry.get("type") for entry in entries if isinstance(entry, Mapping)]
    return bool(cfg.get("dece_poison")) or STRATEGY in types


FEATURES: tuple[tuple[Callable[[Mapping[str, Any]], Any], str], ...] = (
    (_plants, "axolotl_dece.poison.attach:Poisoning"),
    (lambda cfg: cfg.get("dece_audit") or cfg.get("dece_decisions"), "axolotl_dece.audit.record.attach:RowRecord"),
    (lambda cfg: cfg.get("dece_monitor"), "axolotl_dece.evaluation.attach:Monitoring"),
    (lambda cfg: True, "axolotl_dece.cards.attach:Card"),
)
"""When a config wants a feature, and which class it is; features join a run in this order."""


def features_of(cfg: Mapping[str, Any]) -> list[Feature]:
    """The features that a config asks for, imported now."""
    return [resolve_name(name)() for wants, name in FEATURES if wants(cfg)]
