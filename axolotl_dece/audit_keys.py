"""What cannot stand beside `dece_audit`, `dece_decisions` and `dece_release`; imported when one of them is set."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from axolotl_dece.conflicts import Fields, as_seen
from axolotl_dece.loss.names import LOSSES

_HOLD_BACK = ("dece", "gce")
"""The losses that hold back what the model finds unlikely, and can train some rows as under cross-entropy."""

_OTHERS = tuple(name for name in LOSSES if name not in ("ce", *_HOLD_BACK))
_NO_LEDGER = "its ledger is of what `dece` and `gce` withhold"
_NO_TRUST = "it has no form that trusts some rows and not others"


def find_audit_problems(raw: Mapping[str, Any], fields: Fields) -> list[str]:
    """What keeps the raw config, of which axolotl reads `fields`, from the audit it asks for."""
    problems = []
    loss = raw["loss"]
    if raw.get("dece_audit") is True and loss == "ce":
        problems.append("`dece_audit: true` with `loss: ce`: cross-entropy holds nothing back; write `dece` or `gce`")
    for key, why in (("dece_audit", _NO_LEDGER), ("dece_decisions", _NO_TRUST)):
        if raw.get(key) and loss in _OTHERS:
            problems.append(f"`{key}: {raw[key]}` with `loss: {loss}`: {why}; remove it, or write `dece` or `gce`")
    problems += _release_problems(raw, fields)
    for key in ("dece_audit", "dece_decisions"):
        streams = [name for name in ("streaming", "pretraining_dataset") if raw.get(name)]
        if raw.get(key) and streams:
            problems.append(f"`{key}: {raw[key]}` needs rows that can be counted; remove it, or `{streams[0]}`")
    return problems


def _release_problems(raw: Mapping[str, Any], fields: Fields) -> Iterator[str]:
    """Why a run would never get to its `dece_release`, or have nothing to decide by."""
    release = raw.get("dece_release")
    if release is None:
        return
    if raw["loss"] not in _HOLD_BACK:
        yield f"`dece_release: {release}` with `loss: {raw['loss']}`: it ends what `dece` or `gce` hold back; remove it"
    elif raw.get("dece_audit") is not True:
        yield f"`dece_release: {release}` decides by the ledger; write `dece_audit: true`, or remove it"
    epochs = as_seen("num_epochs", raw.get("num_epochs", 1), fields)
    numbers = isinstance(release, int) and isinstance(epochs, (int, float))  # what is none is said elsewhere
    if raw.get("max_steps") is None and numbers and epochs <= release:
        yield (
            f"`dece_release: {release}` is not before the end of `num_epochs: {raw.get('num_epochs', 1)}`, so nothing "
            "would train after it; lower it, or write more epochs"
        )
