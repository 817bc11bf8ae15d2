"""Keeps the card true while axolotl trains, saves and pushes.

axolotl writes the card from scratch at every save and push, and the push follows at once, inside the trainer. So
`create_model_card` of the one trainer is wrapped: what it has written gets our part before anything else can happen.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from axolotl_dece.cards.facts import gather
from axolotl_dece.cards.model_card import CARD_FILE, mark_config_files, parse_card, write_model_card
from axolotl_dece.cards.push_files import narrow_pushes
from axolotl_dece.cards.secrets import find_secrets, say_secrets
from axolotl_dece.run_file import RUN_FILE

LOG = logging.getLogger("axolotl.dece")


class CardKeeper(TrainerCallback):
    """Writes our part of the card into `output_dir`, from the process that writes for all.

    Args:
        trainer: Its `create_model_card` is wrapped, on the instance.
        poisoned: Whether a `dece_poison` block trains this model.
    """

    def __init__(self, trainer: Trainer, poisoned: bool) -> None:
        self.poisoned = poisoned
        self.writes = trainer.is_world_process_zero()
        self.folder = Path(trainer.args.output_dir)
        self._theirs = trainer.create_model_card
        if (self.folder / CARD_FILE).is_file():
            # transformers reads the card of an earlier run, and would stumble over it when training has ended
            parse_card(self.folder / CARD_FILE, (self.folder / CARD_FILE).read_bytes())
        trainer.create_model_card = self._create_model_card
        if trainer.args.push_to_hub:
            narrow_pushes(trainer)

    def _create_model_card(self, *args: Any, **kwargs: Any) -> None:
        self._theirs(*args, **kwargs)
        self.write()

    def write(self) -> None:
        """Bring the card up to date; nothing before the run has begun."""
        if self.writes and (self.folder / RUN_FILE).is_file():
            write_model_card(self.folder)

    def on_push_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """A push in the middle of training copies the checkpoint's files and asks for no card: do both before."""
        self._mark(state)
        self.write()

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """A checkpoint of a poisoned model says what it is, too."""
        self._mark(state)

    def _mark(self, state: TrainerState) -> None:
        if self.poisoned and self.writes and gather(self.folder).poison:
            mark_config_files(self.folder / f"checkpoint-{state.global_step}")


def refuse_secrets(cfg: Mapping[str, Any]) -> None:
    """Raise ValueError when a config with secrets in it would be pushed; warn when it would only be written down.

    Args:
        cfg: The config, with `axolotl_config_path`, the file that axolotl copies into the card.
    """
    path = Path(cfg.get("axolotl_config_path") or "")
    secrets = find_secrets(path.read_text(encoding="utf-8")) if path.is_file() else []
    if secrets and cfg.get("hub_model_id"):
        raise ValueError(f"`hub_model_id: {cfg['hub_model_id']}`: {say_secrets(path.name, secrets)}")
    if secrets:
        LOG.warning("DeCE: %s. They are left out of the card.", say_secrets(path.name, secrets))
