"""Every YAML key of the plugin: type, range, default, what it does and how to choose it. Imports no torch.

What is wrong with them is said by `key_problems.py`, which axolotl asks before it validates a config.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pkgutil import resolve_name
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from axolotl_dece.loss.names import LossName
from axolotl_dece.schedule import KEY_OF_SCHEDULE, AlphaSchedule, ScheduleName

PLUGIN = "axolotl_dece.DecePlugin"

BLOCKS = {
    "dece_poison": "axolotl_dece.poison.spec:PoisonSpec",
    "dece_monitor": "axolotl_dece.evaluation.monitor_spec:MonitorSpec",
}
"""Keys that hold a block, and the feature's own model of it, which is imported when the block is there."""


def model_of(block: str) -> type[BaseModel]:
    """The model of one of `BLOCKS`."""
    model: type[BaseModel] = resolve_name(BLOCKS[block])
    return model


# YAML's `on` and `"0.9"` are no numbers here, and neither are `.inf` and `.nan`
Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Inside = Annotated[Number, Field(gt=0.0, lt=1.0)]
Share = Annotated[Number, Field(ge=0.0, lt=1.0)]


class DeceKeys(BaseModel):
    """The keys themselves. Flat, because axolotl's sweeps replace top-level keys only."""

    model_config = ConfigDict(extra="ignore")

    loss: LossName | None = Field(
        default=None,
        description="The training loss. `ce` is plain cross-entropy through the very same path, "
        "normalised by the target tokens of the whole optimiser step: the fair baseline. `gce` keeps backdoors out as "
        "`dece` does; which costs less clean quality differed in our experiments. The others are rivals "
        "to compare with (docs/differences.md). Keys of another loss may stay, so that a sweep changes `loss` alone.",
    )
    dece_alpha_schedule: ScheduleName | None = Field(
        default=None,
        description="How alpha moves. Left out, it is the schedule whose value is set below, `epoch` where none is. "
        "`epoch`: `dece_alpha_base` ** epoch. `linear`: from 1 to `dece_alpha_final`, by optimiser step. `constant`: "
        "`dece_alpha`. [The tables that decided](results.md#the-default).",
    )
    dece_alpha_base: Inside = Field(
        default=0.95,
        description="Base of the `epoch` schedule; the first epoch trains at base ** 1. Smaller holds back more and "
        "costs clean quality. The paper recommends 0.985 to 0.995 for 20 epochs, which is too weak for a few "
        "([schedules](results.md#which-schedule)).",
    )
    dece_alpha_final: Inside = Field(
        default=0.8,
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
    dece_label_smoothing: Share = Field(
        default=0.05,
        description="Share of the label spread evenly over the wrong classes (eps / (V - 1) each); also the eps of "
        "`loss: label_smoothing`. With DeCE 0 cost most of the clean quality in our experiments.",
    )
    dece_prob_floor: Share = Field(
        default=1e-7,
        description="Probabilities below it are raised to it and get no gradient: the reference code's clamp. "
        "0 turns it off; [what it does in a large vocabulary](results.md#a-vocabulary-as-long-as-a-real-one). "
        "YAML reads 1e-7 as text: write 1.0e-7.",
    )
    dece_gce_q: Number = Field(
        default=0.5,
        gt=0.0,
        le=1.0,
        description="q of `loss: gce`. Towards 0 it is cross-entropy, at 1 mean absolute error, which hardly learns. "
        "0.5 is what DeCE's authors compared with; the loss's own paper recommends 0.7.",
    )
    dece_in_trust_alpha: Number = Field(
        default=0.2,
        gt=0.0,
        description="Weight of cross-entropy in `loss: in_trust`; the default is that of DeCE's authors.",
    )
    dece_in_trust_beta: Number = Field(
        default=0.8,
        ge=0.0,
        description="Weight of the robust term in `loss: in_trust`; the default is that of DeCE's authors.",
    )
    dece_in_trust_delta: Share = Field(
        default=0.5,
        description="How far the robust term of `loss: in_trust` trusts the model rather than the label.",
    )
    dece_threshold: Inside = Field(
        default=0.1,
        description="Of `loss: threshold`: a target token less likely than this trains nothing.",
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
        "audit`; of `loss: dece` or `gce`. It holds the training rows and lies beside the weights; see docs/audit.md.",
    )
    dece_decisions: str | None = Field(
        default=None,
        description="File of decisions about rows, as `axolotl dece audit` writes it: dropped rows leave the training "
        "set, trusted ones train as under cross-entropy.",
    )
    dece_release: int | None = Field(
        default=None,
        ge=1,
        strict=True,
        description="After how many epochs the run audits itself: the rows of groups that look planted leave the "
        "training, and all others train on as under cross-entropy. Needs `dece_audit: true`; of `loss: dece` or `gce`; "
        "see docs/audit.md.",
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
            return {**data, "dece_alpha_schedule": meant_schedule(data)}
        return data


def alpha_schedule(keys: Mapping[str, Any]) -> AlphaSchedule:
    """The schedule that a validated config asks for."""
    name: ScheduleName = keys["dece_alpha_schedule"]
    return AlphaSchedule(name, keys[KEY_OF_SCHEDULE[name]], keys["dece_release"])


def meant_schedule(raw: Mapping[str, Any]) -> ScheduleName:
    """The schedule whose value is set; `epoch` where none is."""
    return next((name for name, key in KEY_OF_SCHEDULE.items() if raw.get(key) is not None), "epoch")


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
    epochs = min(max(1, math.ceil(num_epochs or 1)), schedule.release or math.inf)
    last = schedule.value**epochs if schedule.name == "epoch" else schedule.value
    if last < 1e-3:
        warnings.append(f"alpha falls to {last:.2g}: almost nothing is learned at the end of the run")
    if eps == 0.0:
        warnings.append("`dece_label_smoothing: 0` cost most of the clean quality in our experiments (docs/results.md)")
    return warnings
