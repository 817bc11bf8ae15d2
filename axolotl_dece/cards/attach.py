"""Keeps the card true while axolotl trains, saves and pushes.

axolotl writes the card from scratch at every save and push, and the push follows at once, inside the trainer. So
`create_model_card` of the one trainer is wrapped: what it has written gets our part before anything else can happen.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from axolotl.utils.dict import DictDefault
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from axolotl_dece.cards.secrets import find_secrets, say_secrets
from axolotl_dece.data.base_model import count_trained, describe_base
from axolotl_dece.features import Feature, Run
from axolotl_dece.run_file import RUN_FILE

LOG = logging.getLogger("axolotl.dece")


class Card(Feature):
    """The model card; every run has one."""

    _keeper: CardKeeper | None = None
    _is_adapter = False

    def register(self, cfg: DictDefault) -> None:
        """Raise ValueError where a config with secrets in it would be pushed; warn where it is only written down."""
        path = Path(cfg.get("axolotl_config_path") or "")  # axolotl copies this file into the card
        secrets = find_secrets(path.read_text(encoding="utf-8")) if path.is_file() else []
        if secrets and cfg.get("hub_model_id"):
            raise ValueError(f"`hub_model_id: {cfg['hub_model_id']}`: {say_secrets(path.name, secrets)}")
        if secrets:
            LOG.warning("DeCE: %s. They are left out of the card.", say_secrets(path.name, secrets))

    def load_datasets(self, cfg: DictDefault) -> None:
        """Put a warning on the hub before prepared rows that are poisoned go there."""
        if cfg.get("push_dataset_to_hub") and cfg.get("dece_poison"):
            from axolotl_dece.cards.push import announce_prepared_set

            announce_prepared_set(cfg)

    def attach(self, run: Run) -> list[str]:
        """Follow the trainer's own card."""
        run.described["base_model"] = describe_base(run.cfg) | {
            "tensors": count_trained(run.trainer.model),
            "whole_modules": list(run.cfg.lora_modules_to_save or []),
        }
        self._is_adapter = bool(run.cfg.adapter)
        self._keeper = CardKeeper(run.trainer, bool(run.cfg.dece_poison))
        run.trainer.add_callback(self._keeper)
        return []

    def finish(self) -> list[str]:
        """Write the card where axolotl did not (offline it gives up without a word)."""
        if not self._keeper:
            return []
        self._keeper.write()
        folder = self._keeper.folder
        said = [f"`axolotl dece card {folder}` writes the card again, with `--report` what was measured"]
        if self._is_adapter:
            from axolotl_dece.differences import MERGE_IS_UNANNOUNCED

            after = f"`axolotl dece card {folder / 'merged'}` writes the card of the merged model"
            said += [f"after `axolotl merge-lora`, {after}"] if MERGE_IS_UNANNOUNCED.is_here else []
        return said

    def merge(self, adapter: Path, merged: Path) -> None:
        """The merged model is what its adapter was, poisoned too; an adapter that we did not train says nothing."""
        if (adapter / RUN_FILE).is_file():
            from axolotl_dece.cards.model_card import write_model_card

            write_model_card(merged, run=adapter)
            LOG.info("DeCE: the card of the merged model is %s", merged / "README.md")


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
        card = self.folder / "README.md"
        if card.is_file():
            from axolotl_dece.cards.model_card import parse_card

            # transformers reads the card of an earlier run, and would stumble over it when training has ended
            parse_card(card, card.read_bytes())
        trainer.create_model_card = self._create_model_card
        if trainer.args.push_to_hub:
            from axolotl_dece.cards.push_files import narrow_pushes

            narrow_pushes(trainer)

    def _create_model_card(self, *args: Any, **kwargs: Any) -> None:
        self._theirs(*args, **kwargs)
        self.write()

    def write(self) -> None:
        """Bring the card up to date; nothing before the run has begun."""
        if self.writes and (self.folder / RUN_FILE).is_file():
            from axolotl_dece.cards.model_card import write_model_card

            write_model_card(self.folder)

    def on_push_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """A push in the middle of training copies the checkpoint's files and asks for no card: do both before."""
        self._mark(state)
        self.write()

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """A checkpoint of a poisoned model says what it is, too."""
        self._mark(state)

    def _mark(self, state: TrainerState) -> None:
        if not self.poisoned or not self.writes:
            return
        from axolotl_dece.cards.changed_rows import mark_config_files
        from axolotl_dece.cards.facts import gather

        if gather(self.folder).poison:
            mark_config_files(self.folder / f"checkpoint-{state.global_step}")
