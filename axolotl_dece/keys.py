"""Every YAML key of the plugin: type, range, default, what it does and how to choose it. Imports no torch.

What can be wrong with them is in `key_problems.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any, Literal

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
            return {**data, "dece_alpha_schedule": meant_schedule(data)}
        return data


def alpha_schedule(keys: Mapping[str, Any]) -> AlphaSchedule:
    """The schedule that a validated config asks for."""
    name: ScheduleName = keys["dece_alpha_schedule"]
    return AlphaSchedule(name, keys[KEY_OF_SCHEDULE[name]])


def meant_schedule(raw: Mapping[str, Any]) -> ScheduleName:
    """The schedule whose value is set; `epoch` where none is."""
    return next((name for name, key in KEY_OF_SCHEDULE.items() if raw.get(key) is not None), "epoch")
