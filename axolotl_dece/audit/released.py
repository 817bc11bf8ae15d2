"""What a run with `dece_release` did when it audited itself, in words; imports nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def say_release(account: Mapping[str, Any]) -> str:
    """What happened, in a sentence without its end; of a run that has not come to it, that it will.

    Args:
        account: Of the run's record: `after_epochs`, and once it has happened `step`, `groups`, `copies`, `of`.
    """
    count = account["after_epochs"]
    epochs = f"{count} epoch{'s' if count != 1 else ''}"
    if "step" not in account:
        return f"after {epochs}, the run will audit itself"
    groups = account["groups"]
    if not groups:
        return f"after {epochs}, no group looked planted, so all rows trained on as under cross-entropy"
    looked = f"{groups} group{'s' if groups != 1 else ''} looked planted"
    left = f"{account['copies']:,} of {account['of']:,} rows left the training"
    return f"after {epochs}, {looked}: {left}, the others trained on as under cross-entropy"
