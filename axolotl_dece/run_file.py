"""dece_run.json: what a run really trained with, beside its weights.

Every rank computes the same bytes, so each node may write its own copy. Nothing in it depends on a clock, a host
or a rank, but for `run_id`, which is drawn once for all ranks. Whatever else a run writes carries the same id, so that
a reader can tell what two runs of one config have left in one folder.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from axolotl_dece import __version__
from axolotl_dece.util.digest import digest

RUN_FILE = "dece_run.json"
FORMAT = 1
RUN_ID = "run_id"
"""Key of the run's id, in the record and in whatever else a run writes."""
WEIGHTS_BEFORE = "weights_before"
"""Key of what weights of an earlier run lay in the folder when the run began; absent where none did."""
_PACKAGES = ("axolotl", "torch", "transformers", "peft", "accelerate", "deepspeed", "bitsandbytes")
# what axolotl adds to the raw config of a run, and differs from machine to machine
_NOT_THE_USERS = ("axolotl_config_path", "capabilities", "env_capabilities")


def config_digest(raw: Mapping[str, Any]) -> str:
    """Digest of the config as the user wrote it."""
    return digest({key: value for key, value in raw.items() if key not in _NOT_THE_USERS})


def tokenizer_digest(tokenizer: Any) -> str:
    """Digest of what a tokenizer does: its vocabulary, its special tokens and its chat template."""
    return digest([sorted(tokenizer.get_vocab().items()), tokenizer.special_tokens_map, tokenizer.chat_template])


def installed_versions() -> dict[str, str]:
    """Versions of this package and of what it stands on, as far as they are installed."""
    found = {"axolotl-dece": __version__}
    for package in _PACKAGES:
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def describe_run(
    *,
    run_id: str,
    loss: str,
    parameters: Mapping[str, Any],
    planned: Iterable[tuple[int, float]],
    config_sha256: str,
    tokenizer_sha256: str,
) -> dict[str, Any]:
    """The manifest of a run that is about to begin; `planned` is (optimiser step, alpha)."""
    return {
        "format": FORMAT,
        RUN_ID: run_id,
        "status": "running",
        "loss": loss,
        "parameters": dict(parameters),
        "alpha": {"planned": [{"step": step, "alpha": alpha} for step, alpha in planned], "last": None},
        "step": 0,
        "versions": installed_versions(),
        "config_digest": config_sha256,
        "tokenizer_sha256": tokenizer_sha256,
    }
