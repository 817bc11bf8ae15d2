"""Poisoning in a run: prepared before anything is loaded, checked before anything is trained."""

from __future__ import annotations

from axolotl.utils.dict import DictDefault

from axolotl_dece.features import Feature, Run
from axolotl_dece.poison.prepare import prepare
from axolotl_dece.poison.strategy import refuse_tokenised
from axolotl_dece.poison.verify import check_ran


class Poisoning(Feature):
    """`dece_poison:`; the rows themselves are changed by the dataset strategy `type: axolotl_dece.poison`."""

    def register(self, cfg: DictDefault) -> None:
        """Check the block and mark the dataset entries; ValueError with every problem."""
        prepare(cfg)

    def load_datasets(self, cfg: DictDefault) -> None:
        """Refuse rows that are tokenised already, which axolotl would train on unpoisoned."""
        refuse_tokenised(cfg)

    def attach(self, run: Run) -> list[str]:
        """Count the poisoned rows that the trainer holds, and keep the evaluation split clean."""
        run.planted = check_ran(run.cfg, run.trainer)
        run.parameters["dece_poison"] = run.cfg.dece_poison
        return []

    def finish(self) -> list[str]:
        """Point to what measures the planted backdoor."""
        return [
            "`axolotl dece evaluate` measures whether the planted backdoor was learned; `axolotl dece compare` puts it "
            "beside a run of `loss: ce`"
        ]
