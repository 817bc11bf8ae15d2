"""What pydantic found wrong with keys, in the words of the config: key, value, what is wrong, what to write."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from pydantic import ValidationError


def say_errors(error: ValidationError, prefix: Iterable[str] = ()) -> Iterator[str]:
    """A sentence for every error.

    Args:
        error: What a model's `model_validate` raised.
        prefix: Keys under which the block stands, such as `dece_poison`.
    """
    for detail in error.errors():
        yield say_error(detail, prefix)


def say_error(detail: Any, prefix: Iterable[str] = ()) -> str:
    """A sentence for one entry of `ValidationError.errors()`."""
    key, value = ".".join([*prefix, *(str(part) for part in detail["loc"])]), detail["input"]
    message = str(detail["msg"]).removeprefix("Value error, ")
    if detail["type"] == "value_error":
        # a check of ours, which may have named the key itself
        return message if not key or "`" in message else f"`{key}`: {message}"
    if detail["type"] == "extra_forbidden":
        return f"unknown key `{key}`; remove it, or look for its spelling in the documentation"
    if detail["type"] == "missing":
        return f"`{key}` is missing"
    text = f"`{key}: {value!r}` must be {message.removeprefix('Input should be ')}"
    literals = str(detail.get("ctx", {}).get("expected", ""))
    if isinstance(value, str) and f"'{value.lower()}'" in literals:
        return f"{text}; write `{key}: {value.lower()}`"
    if isinstance(value, str) and detail["type"] == "float_type":
        return f"{text}; YAML reads `1e-7` as text, write `1.0e-7`"
    if isinstance(value, bool):
        return f"{text}; YAML reads on, off, yes and no as true and false"
    return text
