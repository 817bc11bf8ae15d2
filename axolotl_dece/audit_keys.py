"""What cannot stand beside `dece_audit` and `dece_decisions`; imported when one of them is set."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from axolotl_dece.loss.names import LOSSES

_BASELINES = tuple(name for name in LOSSES if name not in ("ce", "dece"))
_NEEDS_ALPHA = "trusted rows train with alpha = 1, and it has no alpha"


def find_audit_problems(raw: Mapping[str, Any]) -> list[str]:
    """What keeps the raw config from the audit it asks for."""
    problems = []
    loss = raw["loss"]
    if raw.get("dece_audit") is True and loss == "ce":
        problems.append("`dece_audit: true` with `loss: ce`: cross-entropy holds nothing back; write `loss: dece`")
    for key, needs in (("dece_audit", "its ledger is of what DeCE withholds"), ("dece_decisions", _NEEDS_ALPHA)):
        if raw.get(key) and loss in _BASELINES:
            problems.append(f"`{key}: {raw[key]}` with `loss: {loss}`: {needs}; remove it or write `loss: dece`")
    for key in ("dece_audit", "dece_decisions"):
        streams = [name for name in ("streaming", "pretraining_dataset") if raw.get(name)]
        if raw.get(key) and streams:
            problems.append(f"`{key}: {raw[key]}` needs rows that can be counted; remove it, or `{streams[0]}`")
    return problems
