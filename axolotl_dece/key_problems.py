"""What is wrong with the keys of a config, said all at once.

axolotl drops keys it does not know without a word, and a misspelt loss then trains plain cross-entropy. So the raw
config is read here before that happens. Imports no torch.
"""

from __future__ import annotations

import math
from collections.abc import Container, Mapping
from typing import Any, Self

from pydantic import ValidationError, model_validator

from axolotl_dece.conflicts import Fields, as_seen, find_conflicts
from axolotl_dece.keys import PLUGIN, DeceKeys, meant_schedule
from axolotl_dece.schedule import KEY_OF_SCHEDULE

_ENDS = ("num_epochs", "max_steps")
_AT_A_TIME = ("micro_batch_size", "gradient_accumulation_steps", "sequence_len")


class DeceArgs(DeceKeys):
    """What axolotl merges into its own config model; the raw config passes here before unknown keys are dropped."""

    @model_validator(mode="before")
    @classmethod
    def check_dece(cls, data: Any) -> Any:
        """Raise one ValueError that lists everything wrong, or return `data` unchanged."""
        if isinstance(data, Mapping) and (problems := find_problems(data, cls.model_fields)):
            raise ValueError(say_problems(problems))
        return data

    @model_validator(mode="after")
    def check_filled_in(self) -> Self:
        """The same for what axolotl or a plugin has filled in by itself, such as the default of a key left out."""
        if problems := find_conflicts(vars(self)):
            raise ValueError(say_problems(problems))
        return self


def say_problems(problems: list[str]) -> str:
    """One message out of many problems, each on a line of its own."""
    count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    return f"axolotl-dece: {count} in this config\n" + "\n".join(f"  - {problem}" for problem in problems)


def find_problems(raw: Mapping[Any, Any], fields: Fields | None = None) -> list[str]:
    """Everything that keeps the raw config from training with the loss it names; empty when nothing does.

    Args:
        raw: The config as the user wrote it.
        fields: The schema that axolotl reads it by: its own keys and those of other plugins.
    """
    if odd := find_odd_keys(raw):
        return odd
    values = {key: raw[key] for key in DeceKeys.model_fields if key in raw}
    problems = _misspelt_keys(raw, fields or {}) + _wrong_values(values)
    if raw.get("loss") is None:
        problems.append(
            f"`{PLUGIN}` is listed in `plugins`, but `loss` is not set; write `loss: dece`, or `loss: ce` for plain "
            "cross-entropy"
        )
        return problems
    problems += _impossible_numbers(raw, fields or {})
    if raw.get("dece_audit") or raw.get("dece_decisions"):
        from axolotl_dece.audit_keys import find_audit_problems

        problems += find_audit_problems(raw)
    return problems + _schedule_problems(raw) + find_conflicts(raw, fields)


def find_odd_keys(raw: Mapping[Any, Any]) -> list[str]:
    """A sentence for every key that is no text: axolotl ends in a TypeError on it, before it validates anything."""
    return [
        f"`{key}: {raw[key]}` has a key that is no text but {type(key).__name__}; YAML reads on, off, yes, no and bare "
        "numbers so: put the key in quotes, or remove it"
        for key in raw
        if not isinstance(key, str)
    ]


def _impossible_numbers(raw: Mapping[str, Any], fields: Fields) -> list[str]:
    """What is a number to axolotl, and ends its own arithmetic: `.inf` and `.nan`, and nothing at a time."""
    seen = {key: as_seen(key, raw.get(key), fields) for key in (*_ENDS, *_AT_A_TIME)}
    numbers = {key: value for key, value in seen.items() if isinstance(value, (int, float))}
    odd = [key for key in _ENDS if key in numbers and not math.isfinite(numbers[key])]
    few = [key for key in _AT_A_TIME if key in numbers and numbers[key] < 1]
    return [f"`{key}: {raw[key]}` is not a number that training can end at; write one" for key in odd] + [
        f"`{key}: {raw[key]}` must be at least 1" for key in few
    ]


def _misspelt_keys(raw: Mapping[str, Any], known: Container[str]) -> list[str]:
    ours = list(DeceArgs.model_fields)
    unknown = [key for key in raw if key not in ours and key not in known]
    if not unknown:
        return []
    from axolotl_dece.misspelt import say_unknown

    return [text for key in unknown if (text := say_unknown(key, raw[key], ours))]


def _wrong_values(values: Mapping[str, Any]) -> list[str]:
    try:
        DeceKeys.model_validate(values)
    except ValidationError as error:
        from axolotl_dece.util.problems import say_errors

        return list(say_errors(error))
    return []


def _schedule_problems(raw: Mapping[str, Any]) -> list[str]:
    if raw["loss"] != "dece":
        return []
    name = raw.get("dece_alpha_schedule")
    given = [key for key in KEY_OF_SCHEDULE.values() if raw.get(key) is not None]
    if name is None and len(given) > 1:
        said = ", ".join(f"`{key}: {raw[key]}`" for key in given)
        return [f"{said}: each belongs to another schedule; keep one of them"]
    name = name or meant_schedule(raw)
    if name not in KEY_OF_SCHEDULE:
        return []
    needed = KEY_OF_SCHEDULE[name]
    problems = [
        f"`{key}` is not used by `dece_alpha_schedule: {name}`, which reads `{needed}`; remove one of the two"
        for key in given
        if key != needed
    ]
    if name == "constant" and needed not in given:
        problems.append("`dece_alpha_schedule: constant` needs `dece_alpha`, for example `dece_alpha: 0.9`")
    if name == "epoch" and (raw.get("streaming") or raw.get("pretraining_dataset")):
        problems.append(
            "alpha falls by epoch (`dece_alpha_schedule: epoch`, the default), and streamed data has none; write "
            "`dece_alpha: 0.9`, or `dece_alpha_final: 0.8` with `max_steps`"
        )
    return problems
