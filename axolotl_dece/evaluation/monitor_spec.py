"""The `dece_monitor:` block: what to watch while a model trains, and how often. Imports no torch."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, model_validator


class MonitorSpec(BaseModel):
    """Small sets that are looked at, teacher-forced, every `every_steps` optimiser steps.

    The cost is one forward pass over `limit` rows of each set, every `every_steps` steps; the run logs the share
    of its time that this took.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    every_steps: int = Field(
        default=50, ge=1, strict=True, description="Optimiser steps between two looks; the last step is always one."
    )
    triggered: str | None = Field(
        default=None,
        description="Rows whose input carries the trigger and whose reference carries the payload: "
        "`test_payload` as `axolotl dece poison` writes it. Gives `dece/monitor_asr`.",
    )
    clean: str | None = Field(
        default=None, description="Rows without trigger and payload. Gives `dece/monitor_clean`, the token accuracy."
    )
    twin: str | None = Field(
        default=None,
        description="Rows with the harmless cue and its suffix. Gives `dece/monitor_twin`: what is lost along with "
        "the backdoor.",
    )
    payload: str | None = Field(
        default=None,
        description="Whose `detect` decides about a triggered row. Needed unless the run has a `dece_poison` block.",
    )
    limit: int = Field(default=64, ge=1, strict=True, description="Rows of each set that are looked at.")
    batch_size: int = Field(default=8, ge=1, strict=True, description="Rows in one forward pass.")

    @model_validator(mode="after")
    def check_something_is_watched(self) -> MonitorSpec:
        """Refuse a block that names no set."""
        if not (self.triggered or self.clean or self.twin):
            raise ValueError("`dece_monitor` watches nothing; set `triggered`, `clean` or `twin` to a file of rows")
        return self
