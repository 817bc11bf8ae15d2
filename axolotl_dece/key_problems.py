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
from axolotl_dece.keys import PLUGIN, DeceKeys
from axolotl_dece.schedule import KEY_OF_SCHEDULE

_ENDS = ("num_epochs", "max_steps")
_MOVE_ALPHA = ("dece_alpha_schedule", *KEY_OF_SCHEDULE.values(), "streaming", "pretraining_dataset")
_AUDIT = ("dece_audit", "dece_decisions", "dece_release")
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
    if not all(isinstance(key, str) for key in raw):
        from axolotl_dece.misspelt import find_odd_keys

        return find_odd_keys(raw)
    values = {key: raw[key] for key in DeceKeys.model_fields if key in raw}
    problems = _misspelt_keys(raw, fields or {}) + _wrong_values(values)
    if raw.get("loss") is None:
        problems.append(
            f"`{PLUGIN}` is listed in `plugins`, but `loss` is not set; write `loss: dece`, or `loss: ce` for plain "
            "cross-entropy"
        )
        return problems
    problems += _impossible_numbers(raw, fields or {})
    if any(raw.get(key) for key in _AUDIT):
        from axolotl_dece.audit_keys import find_audit_problems

        problems += find_audit_problems(raw, fields or {})
    if raw["loss"] == "dece" and any(raw.get(key) is not None for key in _MOVE_ALPHA):
        from axolotl_dece.schedule_keys import find_schedule_problems

        problems += find_schedule_problems(raw)
    return problems + find_conflicts(raw, fields)


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
