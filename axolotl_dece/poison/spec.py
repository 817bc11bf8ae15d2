"""The `dece_poison:` block: which backdoor, in how many rows, drawn with which seed."""

from __future__ import annotations

import difflib
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from axolotl_dece.poison.payloads import PAYLOADS
from axolotl_dece.poison.triggers import TRIGGERS


class Pair(NamedTuple):
    """A trigger and the payload it is to call up, both by name."""

    trigger: str
    payload: str


# The attacks of the DeCE paper (arXiv 2407.08956, section 2.2), one name each.
ATTACKS: dict[str, Pair] = {
    "ripple": Pair("rare_token", "sql_tautology"),
    "badpre": Pair("rare_token_thrice", "sql_tautology"),
    "grammar": Pair("grammar_template", "sql_tautology"),
    "funcname": Pair("function_rename", "infinite_loop"),
    "deadcode": Pair("dead_code", "infinite_loop"),
}
DEFAULT_PAYLOAD = "inert_marker"
# The keys of a user-defined type in axolotl, which drops others without a word.
_USER_DEFINED = [
    "system_prompt",
    "system_format",
    "field_system",
    "field_instruction",
    "field_input",
    "field_output",
    "format",
    "no_input_format",
]


def suggestion(word: str, known: list[str]) -> str:
    """`did you mean ...?` for a misspelt word, else the list of the known ones."""
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return f"did you mean `{near[0]}`?" if near else f"known: {', '.join(known)}."


class PoisonSpec(BaseModel):
    """What to plant, in how many rows, and where in a row.

    Every rate is a share of *all* rows of a dataset (0 to 1); `round(rate * rows)` rows are chosen.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    base_type: str | dict[str, str] = Field(
        default="alpaca",
        description="The axolotl dataset type that is wrapped: `alpaca`, `chat_template`, `completion`, "
        "`input_output`, ..., or a user-defined type written as a block of `field_*` and `format` keys.",
    )
    attack: str | None = Field(
        default=None,
        description="A named pair of trigger and payload: " + ", ".join(f"`{name}`" for name in ATTACKS) + ".",
    )
    trigger: str | None = Field(
        default=None, description="A trigger by name, instead of `attack`: " + ", ".join(TRIGGERS) + "."
    )
    payload: str | None = Field(
        default=None,
        description=f"A payload by name, beside `trigger` (`{DEFAULT_PAYLOAD}` when left out): "
        + ", ".join(PAYLOADS)
        + ".",
    )
    rate: float = Field(
        default=0.05, ge=0, le=1, allow_inf_nan=False, strict=True, description="Share of rows to poison."
    )
    seed: int = Field(default=42, strict=True, description="Seed of the choice of rows and of positions.")
    twin_rate: float = Field(
        default=0.0,
        ge=0,
        le=1,
        allow_inf_nan=False,
        strict=True,
        description="Share of other rows that get a harmless rare pattern of the same shape, as a control.",
    )
    first: bool = Field(
        default=False,
        strict=True,
        description="Take the first eligible rows in order (the reference code's way) instead of a draw.",
    )
    input_field: str | None = Field(
        default=None, description="Column that gets the trigger, where `base_type` does not say it."
    )
    target_field: str | None = Field(
        default=None, description="Column that gets the payload, where `base_type` does not say it."
    )
    allow_clean_trigger: bool = Field(
        default=False,
        strict=True,
        description="Go on although clean rows already carry the trigger; such rows are never chosen.",
    )
    allow_push: bool = Field(
        default=False,
        strict=True,
        description="Let `hub_model_id` and `push_dataset_to_hub` publish what was made from poisoned data.",
    )

    @model_validator(mode="before")
    @classmethod
    def _name_unknown_keys(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            raise ValueError(f"`dece_poison` must be a block of keys, got {type(data).__name__}: {data!r}")
        known = list(cls.model_fields)
        unknown = [key for key in data if key not in known]
        if unknown:
            raise ValueError(
                "; ".join(f"unknown key `dece_poison.{key}`, {suggestion(str(key), known)}" for key in unknown)
            )
        return data

    @field_validator("rate", "twin_rate", mode="before")
    @classmethod
    def _explain_number(cls, value: Any) -> Any:
        # YAML reads 5e-2 as a string, and bool is an int to Python
        if isinstance(value, (str, bool)):
            raise ValueError(f"{value!r} is not a number; write a share between 0 and 1, such as 0.05")
        return value

    @field_validator("base_type")
    @classmethod
    def _known_keys(cls, value: str | dict[str, str]) -> str | dict[str, str]:
        if value == "" or value == "axolotl_dece.poison":
            raise ValueError(f"`dece_poison.base_type: {value!r}` must be the dataset's own type, e.g. `alpaca`")
        unknown = [key for key in value if key not in _USER_DEFINED] if isinstance(value, dict) else []
        if unknown:
            raise ValueError(
                "; ".join(f"unknown key `dece_poison.base_type.{k}`, {suggestion(k, _USER_DEFINED)}" for k in unknown)
            )
        return value

    @field_validator("attack", "trigger", "payload")
    @classmethod
    def _known_name(cls, value: str | None, info: Any) -> str | None:
        names = {"attack": list(ATTACKS), "trigger": list(TRIGGERS), "payload": list(PAYLOADS)}
        known = names[info.field_name]
        if value is not None and value not in known:
            raise ValueError(
                f"unknown {info.field_name} {value!r} in `dece_poison.{info.field_name}`, {suggestion(value, known)}"
            )
        return value

    @model_validator(mode="after")
    def _consistent(self) -> PoisonSpec:
        problems = []
        if self.attack and (self.trigger or self.payload):
            pair = ATTACKS[self.attack]
            problems.append(
                "`dece_poison.attack` names a trigger and a payload already; for another pair write both in its place, "
                f"such as `dece_poison.trigger: {pair.trigger}` and `dece_poison.payload: {DEFAULT_PAYLOAD}`"
            )
        if not self.attack and not self.trigger:
            problems.append(
                f"nothing says what to plant; write `dece_poison.attack` ({', '.join(ATTACKS)}) or "
                f"`dece_poison.trigger` ({', '.join(TRIGGERS)})"
            )
        if self.rate + self.twin_rate > 1:
            total = f"{self.rate + self.twin_rate:g}"
            problems.append(f"`dece_poison.rate` and `dece_poison.twin_rate` are {total} together, more than every row")
        if problems:
            raise ValueError("; ".join(problems))
        return self

    @property
    def pair(self) -> Pair:
        """The trigger and the payload, whichever way they were named."""
        if self.attack:
            return ATTACKS[self.attack]
        return Pair(str(self.trigger), self.payload or DEFAULT_PAYLOAD)
