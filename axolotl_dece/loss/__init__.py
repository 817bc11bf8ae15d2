"""DeCE as functions of tensors: `formula` defines it, `torch_rows` and `triton_rows` compute it.

Names are loaded when first used, so that reading a config, which needs the losses' names, does not import torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_PUBLIC = {"Mixture": "criterion", "dece_loss": "functional", "linear_dece_loss": "linear"}
__all__ = ["Mixture", "dece_loss", "linear_dece_loss"]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_PUBLIC[name]}"), name)
