"""Every YAML key of the plugin: type, range, default, what it does and how to choose it.

axolotl drops keys it does not know without a word, and a misspelt loss then trains plain cross-entropy. So the raw
config is read here before that happens, and everything wrong with it is said at once. Imports no torch.
"""

from __future__ import annotations

import math
from collections.abc import Container, Mapping
from importlib import import_module
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator, model_validator

from axolotl_dece.conflicts import Fields, as_seen, find_conflicts
from axolotl_dece.loss.names import LOSSES, LossName
from axolotl_dece.schedule import KEY_OF_SCHEDULE, AlphaSchedule, ScheduleName

PLUGIN = "axolotl_dece.DecePlugin"

_BASELINES = tuple(name for name in LOSSES if name not in ("ce", "dece"))
_NEEDS_ALPHA = "trusted rows train with alpha = 1, and it has no alpha"


BLOCKS = {
    "dece_poison": "axolotl_dece.poison.spec:PoisonSpec",
    "dece_monitor": "axolotl_dece.evaluation.monitor_spec:MonitorSpec",
}
"""Keys that hold a block, and the feature's own model of it, which is imported when the block is there."""


def model_of(block: str) -> type[BaseModel]:
    """The model of one of `BLOCKS`."""
    module, _, name = BLOCKS[block].partition(":")
    model: type[BaseModel] = getattr(import_module(module), name)
    return model


class DeceKeys(BaseModel):
    """The keys themselves. Flat, because axolotl's sweeps replace top-level keys only."""

    model_config = ConfigDict(extra="ignore")

    loss: LossName | None = Field(
        default=None,
        description="The training loss. `ce` is plain cross-entropy through the very same path, "
        "normalised by the target tokens of the whole optimiser step: the fair baseline. `label_smoothing`, `gce` and "
        "`in_trust` are its rivals through that path, for comparison; see docs/differences.md. Keys of another loss "
        "may stay, so that a sweep changes `loss` alone.",
    )
    dece_alpha_schedule: ScheduleName | None = Field(
        default=None,
        description="How alpha moves. Left out, it is the schedule whose value is set below, `epoch` where none is. "
        "`epoch`: `dece_alpha_base` ** epoch. `linear`: from 1 to `dece_alpha_final`, by optimiser step. `constant`: "
        "`dece_alpha`. [The tables that decided](results.md#the-default).",
    )
    dece_alpha_base: float = Field(
        default=0.95,
        gt=0.0,
        lt=1.0,
        strict=True,
        allow_inf_nan=False,
        description="Base of the `epoch` schedule; the first epoch trains at base ** 1. Smaller holds back more and "
        "costs clean quality. The paper recommends 0.985 to 0.995 for 20 epochs, which is too weak for a few "
        "([schedules](results.md#which-schedule)).",
    )
    dece_alpha_final: float = Field(
        default=0.8,
        gt=0.0,
        lt=1.0,
        strict=True,
        allow_inf_nan=False,
        description="Where the `linear` schedule ends. It starts at 1, which is cross-entropy, and the longer the run "
        "the longer it stays near it ([longer training](results.md#longer-training)).",
    )
    dece_alpha: float | None = Field(
        default=None,
        gt=0.0,
        lt=1.0,
        strict=True,
        allow_inf_nan=False,
        description="The alpha of the `constant` schedule, for streams above all; must be set with it.",
    )
    dece_label_smoothing: float = Field(
        default=0.05,
        ge=0.0,
        lt=1.0,
        strict=True,
        allow_inf_nan=False,
        description="Share of the label spread evenly over the wrong classes (eps / (V - 1) each); also the eps of "
        "`loss: label_smoothing`. With DeCE 0 cost most of the clean quality in our experiments.",
    )
    dece_prob_floor: float = Field(
        default=1e-7, ge=0.0, lt=1.0, strict=True, allow_inf_nan=False,
        description="Probabilities below it are raised to it and get no gradient: the reference code's clamp. "
        "0 turns it off; [what it does in a large vocabulary](results.md#a-vocabulary-as-long-as-a-real-one). "
        "YAML reads 1e-7 as text: write 1.0e-7.",
    )  # fmt: skip
    dece_gce_q: float = Field(
        default=0.5,
        gt=0.0,
        le=1.0,
        strict=True,
        allow_inf_nan=False,
        description="q of `loss: gce`. Towards 0 it is cross-entropy, at 1 mean absolute error, which hardly learns. "
        "0.5 is what DeCE's authors compared with; the loss's own paper recommends 0.7.",
    )
    dece_in_trust_alpha: float = Field(
        default=0.2,
        gt=0.0,
        strict=True,
        allow_inf_nan=False,
        description="Weight of cross-entropy in `loss: in_trust`; the default is that of DeCE's authors.",
    )
    dece_in_trust_beta: float = Field(
        default=0.8,
        ge=0.0,
        strict=True,
        allow_inf_nan=False,
        description="Weight of the robust term in `loss: in_trust`; the default is that of DeCE's authors.",
    )
    dece_in_trust_delta: float = Field(
        default=0.5,
        ge=0.0,
        lt=1.0,
        strict=True,
        allow_inf_nan=False,
        description="How far the robust term of `loss: in_trust` trusts the model rather than the label.",
    )
    dece_fused_head: bool | Literal["auto"] = Field(
        default="auto",
        description="Compute the loss inside the LM head, so that the logits are never in memory as a whole. `auto`: "
        "wherever it is proven equal, and the log says why not elsewhere; `true`: refuse to train without it.",
    )
    dece_poison: dict[str, Any] | None = Field(
        default=None,
        description="Plant a known backdoor in the datasets with `type: axolotl_dece.poison`; see docs/poisoning.md.",
    )
    dece_monitor: dict[str, Any] | None = Field(
        default=None,
        description="Watch attack success, clean accuracy and the twin while training; see docs/evaluation.md.",
    )
    dece_audit: bool = Field(
        default=False,
        strict=True,
        description="Keep a ledger of what was withheld from every target token of every row, for `axolotl dece "
        "audit`; see docs/audit.md. It holds the training rows and lies beside the weights.",
    )
    dece_decisions: str | None = Field(
        default=None,
        description="File of decisions about rows, as `axolotl dece audit` writes it: dropped rows leave the training "
        "set, trusted ones train with alpha = 1.",
    )

    @field_validator(*BLOCKS, mode="before")
    @classmethod
    def check_block(cls, value: Any, info: ValidationInfo) -> Any:
        """A block as its own model leaves it; its errors come out with their keys below the block's."""
        if value is None:
            return None
        return model_of(str(info.field_name)).model_validate(value).model_dump(exclude_none=True)

    @model_validator(mode="before")
    @classmethod
    def name_schedule(cls, data: Any) -> Any:
        """Write out the schedule that the config means, so that whatever reads the keys later finds it named."""
        if isinstance(data, Mapping) and data.get("dece_alpha_schedule") is None:
            return {**data, "dece_alpha_schedule": _meant_schedule(data)}
        return data


def alpha_schedule(keys: Mapping[str, Any]) -> AlphaSchedule:
    """The schedule that a validated config asks for."""
    name: ScheduleName = keys["dece_alpha_schedule"]
    return AlphaSchedule(name, keys[KEY_OF_SCHEDULE[name]])


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
    problems += _endless(raw, fields or {})
    return problems + _schedule_problems(raw) + _audit_problems(raw) + find_conflicts(raw, fields)


def find_odd_keys(raw: Mapping[Any, Any]) -> list[str]:
    """A sentence for every key that is no text: axolotl ends in a TypeError on it, before it validates anything."""
    return [
        f"`{key}: {raw[key]}` has a key that is no text but {type(key).__name__}; YAML reads on, off, yes, no and bare "
        "numbers so: put the key in quotes, or remove it"
        for key in raw
        if not isinstance(key, str)
    ]


def find_warnings(keys: Mapping[str, Any], num_epochs: float | None) -> list[str]:
    """What a validated config is allowed to say but probably does not mean."""
    warnings = []
    eps = keys["dece_label_smoothing"]
    if keys["loss"] in ("dece", "label_smoothing") and eps > 0.5:
        warnings.append(f"`dece_label_smoothing: {eps}` gives the wrong classes the majority")
    if keys["loss"] == "label_smoothing" and eps == 0.0:
        warnings.append("`loss: label_smoothing` with `dece_label_smoothing: 0` is plain cross-entropy")
    if keys["loss"] != "dece":
        return warnings
    schedule = alpha_schedule(keys)
    last = schedule.value ** max(1, math.ceil(num_epochs or 1)) if schedule.name == "epoch" else schedule.value
    if last < 1e-3:
        warnings.append(f"alpha falls to {last:.2g}: almost nothing is learned at the end of the run")
    if eps == 0.0:
        warnings.append("`dece_label_smoothing: 0` cost most of the clean quality in our experiments (docs/results.md)")
    if keys["dece_decisions"] and keys["dece_prob_floor"] > 0.0:
        warnings.append(
            f"`dece_decisions` with `dece_prob_floor: {keys['dece_prob_floor']:g}`: where the model finds a token less "
            "likely than that, a trusted row cannot teach it; write `dece_prob_floor: 0` to trust without reserve "
            "(docs/audit.md)"
        )
    return warnings


def _endless(raw: Mapping[str, Any], fields: Fields) -> list[str]:
    """`.inf` and `.nan` are numbers to axolotl, and its own arithmetic ends on them."""
    values = {key: as_seen(key, raw.get(key), fields) for key in ("num_epochs", "max_steps")}
    return [
        f"`{key}: {raw[key]}` is not a number that training can end at; write one"
        for key, value in values.items()
        if isinstance(value, float) and not math.isfinite(value)
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


def _meant_schedule(raw: Mapping[str, Any]) -> ScheduleName:
    """The schedule whose value is set; `epoch` where none is."""
    return next((name for name, key in KEY_OF_SCHEDULE.items() if raw.get(key) is not None), "epoch")


def _schedule_problems(raw: Mapping[str, Any]) -> list[str]:
    if raw["loss"] != "dece":
        return []
    name = raw.get("dece_alpha_schedule")
    given = [key for key in KEY_OF_SCHEDULE.values() if raw.get(key) is not None]
    if name is None and len(given) > 1:
        said = ", ".join(f"`{key}: {raw[key]}`" for key in given)
        return [f"{said}: each belongs to another schedule; keep one of them"]
    name = name or _meant_schedule(raw)
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


def _audit_problems(raw: Mapping[str, Any]) -> list[str]:
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
