"""The rows' own texts: which inputs carry the trigger, what the references say, and whose payload was planted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from axolotl_dece.data.layouts import View, view_of
from axolotl_dece.evaluation.prompts import TokenRow
from axolotl_dece.poison.manifest import POISONED_COLUMN
from axolotl_dece.poison.spec import PoisonSpec
from axolotl_dece.poison.triggers import TRIGGERS


def find_view(spec: PoisonSpec, recipe: Mapping[str, Any]) -> View | None:
    """Where rows of this recipe keep input and target; None for a dataset type whose columns are not known."""
    try:
        return view_of(spec.model_copy(update={"base_type": recipe["dataset"]["type"]}), recipe["dataset"])
    except ValueError:
        return None


def keep_triggered(rows: Sequence[dict[str, Any]], spec: PoisonSpec, view: View) -> list[dict[str, Any]]:
    """The rows whose input carries the trigger of `spec`.

    Raises:
        ValueError: If no row does.
    """
    detect = TRIGGERS[spec.pair.trigger].detect
    kept = [row for row in rows if detect(view.read(row).input)]
    if not kept:
        raise ValueError(
            f"no input of the {len(rows)} triggered rows carries the trigger `{spec.pair.trigger}`, so the attack "
            "success would be 0 % whatever the model does; is it another attack, or the clean file?"
        )
    return kept


def with_references(tokens: Sequence[TokenRow], rows: Sequence[Mapping[str, Any]], view: View) -> list[TokenRow]:
    """The same rows with their references as they stand in the file: a tokenizer may not spell all of them."""
    return [replace(one, reference=view.read(row).target) for one, row in zip(tokens, rows, strict=True)]


def mark_planted(
    tokens: Sequence[TokenRow], rows: Sequence[Mapping[str, Any]], everywhere: bool = False
) -> list[TokenRow]:
    """Mark the rows whose payload the poisoner put there: those it marked itself, or all of them."""
    return [
        replace(one, planted=everywhere or str(row.get(POISONED_COLUMN, 0)) == "1")
        for one, row in zip(tokens, rows, strict=True)
    ]
