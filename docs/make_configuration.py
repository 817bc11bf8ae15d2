"""Writes docs/configuration.md from the keys themselves: `python docs/make_configuration.py`. A test compares."""

from __future__ import annotations

import sys
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from axolotl_dece.conflicts import CONFLICTS
from axolotl_dece.keys import BLOCKS, DeceKeys, model_of

PAGE = Path(__file__).with_name("configuration.md")
_SIGNS = {"gt": ">", "ge": ">=", "lt": "<", "le": "<="}


def _type_of(annotation: Any) -> str:
    if get_origin(annotation) is Literal:
        return " or ".join(f"`{value}`" for value in get_args(annotation))
    if get_origin(annotation) in (Union, UnionType):
        return " or ".join(_type_of(part) for part in get_args(annotation) if part is not type(None))
    return annotation.__name__ if isinstance(annotation, type) else str(annotation).replace("typing.", "")


def _range_of(field: FieldInfo) -> str:
    bounds = [
        f"{_SIGNS[name]} {getattr(rule, name)}" for rule in field.metadata for name in _SIGNS if hasattr(rule, name)
    ]
    return ", ".join(bounds) or "-"


def _row(name: str, field: FieldInfo) -> str:
    default = "required" if field.is_required() else _say(field.default)
    kind = "block, see below" if name in BLOCKS else _type_of(field.annotation)
    return f"| `{name}` | {kind} | {_range_of(field)} | {default} | {field.description} |"


def _say(value: Any) -> str:
    if value is None or value is PydanticUndefined:
        return "not set"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _table(model: type[BaseModel]) -> list[str]:
    head = ["| key | type | range | default | what it does, and how to choose |", "|---|---|---|---|---|"]
    return head + [_row(name, field) for name, field in model.model_fields.items()]


def _blocks() -> list[str]:
    return [line for name in BLOCKS for line in (f"## The block `{name}`", "", *_table(model_of(name)), "")]


def build() -> str:
    """The page as text."""
    conflicts = [f"| `{c.key}` | {c.why} | {c.remedy} |" for c in CONFLICTS]
    return "\n".join(
        [
            "# Configuration",
            "",
            "Generated from `axolotl_dece/keys.py` by `python docs/make_configuration.py`; do not edit.",
            "",
            "All keys are top-level keys of the axolotl YAML, beside `plugins: [axolotl_dece.DecePlugin]`. They are",
            "flat because `axolotl train --sweep` replaces top-level keys only. Unknown `dece*` keys are errors.",
            "",
            *_table(DeceKeys),
            "",
            *_blocks(),
            "## What cannot stand beside `loss`",
            "",
            "| key | why | instead |",
            "|---|---|---|",
            *conflicts,
            "",
        ]
    )


if __name__ == "__main__":
    PAGE.write_text(build(), encoding="utf-8")
    sys.stdout.write(f"{PAGE.name} written\n")
