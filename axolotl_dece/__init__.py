"""DeCE (Deceptive Cross-Entropy) for axolotl: fine-tune code models on data you do not fully trust.

The public names are loaded when first used (PEP 562), so that `axolotl --help` and the config check stay quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_PUBLIC = {
    "DecePlugin": "plugin",
    "Required": "required",
    "dece_loss": "loss",
    "linear_dece_loss": "loss",
}
# What axolotl loads by name, and what trains: not with a version that nobody tested.
_TRAINS = ("DecePlugin", "Required")
__all__ = ["DecePlugin", "Required", "__version__", "dece_loss", "linear_dece_loss"]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name in _TRAINS:
        import_module(f"{__name__}.versions").refuse_untested()
    try:
        return getattr(import_module(f"{__name__}.{_PUBLIC[name]}"), name)
    except ImportError as error:
        # axolotl catches ImportError while it loads plugins, prints it and goes on to train plain cross-entropy
        raise RuntimeError(
            f"axolotl-dece cannot be loaded ({error}); training would go on without DeCE, so it stops here. "
            "Reinstall with `pip install --force-reinstall axolotl-dece`."
        ) from error


def __dir__() -> list[str]:
    return sorted(__all__)
