"""Files of a command: it writes where nothing is, or over what it wrote before, and never two things to one place."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path

import click

from axolotl_dece.util.page import is_page

FILE = click.Path(dir_okay=False, path_type=Path)
FOLDER = click.Path(file_okay=False, path_type=Path)
FOUND_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


def refuse_foreign_page(option: str, path: Path) -> None:
    """UsageError where a page would take the place of anything but a page of ours."""
    refuse_foreign(option, path, is_page, "page")


def refuse_foreign(option: str, path: Path, is_ours: Callable[[Path], bool], kind: str) -> None:
    """UsageError where a file would take the place of one of another kind, or of somebody else.

    Args:
        option: By which the file is named.
        path: Of the file.
        is_ours: Whether a file is one that the same option wrote.
        kind: What that is, in words.
    """
    # a link that leads nowhere is somebody's, too
    if os.path.lexists(path) and not is_ours(path):
        raise click.UsageError(f"{option} {path} is already there and is no {kind} of ours; give another name")


def refuse_same(targets: Iterable[tuple[str, Path]]) -> None:
    """UsageError where two options would write one file; each comes with its path."""
    taken: dict[Path, str] = {}
    for option, path in targets:
        # a file takes the place of a link, not of what the link leads to
        first = taken.setdefault(path.parent.resolve() / path.name, option)
        if first != option:
            raise click.UsageError(f"{first} and {option} both write {path}; give one of them another name")
