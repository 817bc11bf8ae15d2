"""JSON that somebody else may have written, or a full disk cut short: a value, or one sentence about what is wrong."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def parse_json(text: str | bytes) -> Any:
    """The value in `text`; ValueError for whatever is no JSON, and for brackets nested by the thousand."""
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error


def with_gaps(content: Any) -> Any:
    """`content` with None for NaN and the infinities, which no browser's JSON knows."""
    if isinstance(content, Mapping):
        return {key: with_gaps(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [with_gaps(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content


def read_object(path: Path, remedy: str) -> dict[str, Any]:
    """The JSON object in a file.

    Raises:
        ValueError: It cannot be read, or is not one; names the file and ends with `remedy`.
    """
    try:
        content = parse_json(path.read_bytes())
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror or error}; {remedy}") from error
    except ValueError as error:
        raise ValueError(f"{path} is not valid JSON ({error}); {remedy}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} is not a JSON object; {remedy}")
    return content
