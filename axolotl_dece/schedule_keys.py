"""What is wrong with how alpha is to move; imported when a config says so, or has no epochs to move it by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from axolotl_dece.keys import meant_schedule
from axolotl_dece.schedule import KEY_OF_SCHEDULE


def find_schedule_problems(raw: Mapping[str, Any]) -> list[str]:
    """What keeps alpha of a raw config with `loss: dece` from moving as it says."""
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
