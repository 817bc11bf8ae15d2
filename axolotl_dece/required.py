"""The third line of a shared config: `trainer_cls: axolotl_dece.Required`.

axolotl reads this key itself. Without the package it cannot import the class and stops; with the package but without
the plugin in `plugins:` the class below stops. So a config that carries the line cannot train without the defence.
"""

from __future__ import annotations

from typing import Any

from axolotl.core.trainers.base import AxolotlTrainer
from axolotl.integrations.base import PluginManager

from axolotl_dece.args import PLUGIN


class Required(AxolotlTrainer):
    """axolotl's own trainer, unchanged, that refuses to exist without the plugin."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        manager = PluginManager.get_instance()
        if PLUGIN not in ((manager.cfg and manager.cfg.plugins) or []):
            raise ValueError(
                f"this config says `trainer_cls: axolotl_dece.Required`, but `{PLUGIN}` is not in `plugins`, so DeCE "
                f"would be off; add `plugins: [{PLUGIN}]` and `loss: dece`"
            )
        super().__init__(*args, **kwargs)
