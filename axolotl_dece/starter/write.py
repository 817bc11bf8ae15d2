"""The config as text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from axolotl_dece.starter.model import Model
from axolotl_dece.starter.rows import Layout

_CPU_LENGTH, _GPU_LENGTH = 512, 2048


def starter_config(base_model: str, model: Model, rows: Layout, adapter: str, memory: float, out: Path) -> str:
    """A commented config.

    Args:
        base_model: As the user named it.
        model: What is known of it.
        rows: The training rows.
        adapter: `lora`, `qlora` or `full`.
        memory: GiB of the GPU, 0 for none.
        out: The file that it is going to be, after which the run's folder is named.
    """
    # YAML, and no page: what comes in is quoted by the filters
    environment = Environment(  # noqa: S701
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"yaml": _yaml, "comment": _comment}
    length = min(_GPU_LENGTH if memory else _CPU_LENGTH, model.longest or _GPU_LENGTH)
    return environment.get_template("starter.yaml.jinja").render(
        base_model=base_model, model=model, rows=rows, adapter=adapter, memory=memory, out=out,
        sequence_len=length, output_dir=f"outputs/{out.stem}",
    )  # fmt: skip


def _yaml(value: Any) -> str:
    """A text as one line of YAML."""
    return yaml.safe_dump(str(value), width=float("inf"), allow_unicode=True).removesuffix("...\n").strip()


def _comment(value: Any) -> str:
    """A text that does not end its comment."""
    return " ".join(str(value).split())
