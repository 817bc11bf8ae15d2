"""Reads dece_run.json, and tells what is of its run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from axolotl_dece.run_file import FORMAT, RUN_FILE, RUN_ID
from axolotl_dece.util.json_text import read_object


def read_run(folder: str | Path) -> dict[str, Any] | None:
    """The manifest in `folder`, or None where there is none.

    Raises:
        ValueError: The file is there but is not a manifest this version can read.
    """
    path = Path(folder) / RUN_FILE
    if not path.is_file():
        return None
    run = read_object(path, "delete it and train again")
    if run.get("format") != FORMAT:
        raise ValueError(f"{path} was written in another format; this version reads format {FORMAT}")
    return run


def is_made_by(run: Mapping[str, Any], made: Mapping[str, Any]) -> bool:
    """Whether something that carries the id of its run may be of `run`; what was written before ids had none may."""
    return bool(made.get(RUN_ID, run.get(RUN_ID)) == run.get(RUN_ID))
