"""Files that are there whole or not at all, whoever reads them and whenever the writer is killed."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any


class UnwritableError(OSError, ValueError):
    """A file that cannot be written, as on a full disk: said by commands like whatever else is wrong with an option."""


@contextmanager
def naming_what_is_written(path: Path) -> Iterator[None]:
    """Let an error of the file system say that it was `path` which could not be written."""
    try:
        yield
    except OSError as error:
        raise UnwritableError(f"{path} cannot be written: {error}") from error


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A scratch file beside `path` that takes its place when the block ends; after an error nothing has changed.

    What was written is on the disk before the name is: a crash of the machine leaves the old file or the new one.

    Args:
        path: Its folder is made where it is missing.

    Raises:
        UnwritableError: The disk is full, or the folder cannot be made or written to.
    """
    with naming_what_is_written(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            yield scratch
            with scratch.open("rb") as file:
                os.fsync(file.fileno())
            scratch.replace(path)
        finally:
            scratch.unlink(missing_ok=True)


def write_text_atomically(path: Path, text: str) -> None:
    """Write `text` as UTF-8."""
    with whole_file(path) as scratch:
        scratch.write_text(text, encoding="utf-8")


def write_yaml_atomically(path: Path, config: Mapping[str, Any]) -> None:
    """Write a config as a user would, keys in their order."""
    import yaml

    write_text_atomically(path, yaml.safe_dump(dict(config), sort_keys=False))


def write_json_atomically(path: Path, content: Any) -> None:
    """Write `content` as JSON, keys sorted, so that the same content is the same bytes."""
    write_text_atomically(path, json.dumps(content, indent=2, sort_keys=True) + "\n")
