"""Poisoning on purpose: plant a known backdoor in a dataset, exactly and accountably.

As an axolotl dataset strategy this package is `type: axolotl_dece.poison`; axolotl then calls `load` below.
The pure parts (`spec`, `triggers`, `payloads`, `twin`, `poisoner`) import neither axolotl nor torch.
"""

from __future__ import annotations

from typing import Any


def load(tokenizer: Any, cfg: Any, ds_cfg: Any = None, processor: Any = None) -> Any:
    """The entry point axolotl looks for in a dataset strategy.

    Args:
        tokenizer: The tokenizer of the run.
        cfg: The validated axolotl config.
        ds_cfg: The dataset entry that names this strategy.
        processor: A multimodal processor, handed on to the wrapped strategy.

    Returns:
        A `DatasetWrappingStrategy` that poisons the raw rows and hands them to the wrapped strategy.

    Raises:
        RuntimeError: If a module this strategy needs is missing. axolotl reads any `ModuleNotFoundError` as
            "unhandled prompt tokenization strategy", which would hide the cause.
    """
    try:
        from axolotl_dece.poison.strategy import PoisonStrategy

        return PoisonStrategy(tokenizer, cfg, ds_cfg or {}, processor)
    except ModuleNotFoundError as error:
        raise RuntimeError(
            f"`type: axolotl_dece.poison` needs the module {error.name!r}, which is not installed. "
            "Reinstall with `pip install --force-reinstall axolotl-dece`."
        ) from error
