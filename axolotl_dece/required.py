"""The third line of a shared config: `trainer_cls: axolotl_dece.Required`.

axolotl reads this key itself. Without the package it cannot import the class and stops; with the package but without
the plugin in `plugins:` the class below stops. So a config that carries the line cannot train without the defence.
"""

from __future__ import annotations

from typing import Any

from axolotl.core.trainers.base import AxolotlTrainer

from axolotl_dece.keys import PLUGIN
from axolotl_dece.step import StepKeeper


class Required(AxolotlTrainer):
    """axolotl's own trainer, unchanged, that refuses to train without the plugin."""

    def train(self, *args: Any, **kwargs: Any) -> Any:
        """Train as axolotl does; ValueError where the plugin has not installed its objective in this trainer."""
        if not any(isinstance(callback, StepKeeper) for callback in self.callback_handler.callbacks):
            raise ValueError(
                f"this config says `trainer_cls: axolotl_dece.Required`, but `{PLUGIN}` is not in `plugins`, so DeCE "
                f"would be off; add `plugins: [{PLUGIN}]` and `loss: dece`"
            )
        return super().train(*args, **kwargs)
