"""The triggered set: which of its rows carry the trigger, and whose payload was planted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from axolotl_dece.evaluation.prompts import TokenRow
from axolotl_dece.poison.manifest import POISONED_COLUMN
from axolotl_dece.poison.spec import PoisonSpec
from axolotl_dece.poison.triggers import TRIGGERS
from axolotl_dece.poison.views import view_of


def keep_triggered(rows: Sequence[dict[str, Any]], spec: PoisonSpec, recipe: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The rows whose input carries the trigger of `spec`.

    Raises:
        ValueError: If no row does.
    """
    view = view_of(spec.model_copy(update={"base_type": recipe["dataset"]["type"]}), recipe["dataset"])
    detect = TRIGGERS[spec.pair.trigger].detect
    kept = [row for row in rows if detect(view.read(row).input)]
    if not kept:
        raise ValueError(
            f"no input of the {len(rows)} triggered rows carries the trigger `{spec.pair.trigger}`, so the attack "
            "success would be 0 % whatever the model does; is it another attack, or the clean file?"
        )
    return kept


def mark_planted(
    tokens: Sequence[TokenRow], rows: Sequence[Mapping[str, Any]], everywhere: bool = False
) -> list[TokenRow]:
    """Mark the rows whose payload the poisoner put there: those it marked itself, or all of them."""
    return [
        replace(one, planted=everywhere or bool(int(row.get(POISONED_COLUMN) or 0)))
        for one, row in zip(tokens, rows, strict=True)
    ]
