"""Folders of somebody's machine, and with them names of people, stay out of cards: of a path its last part is kept."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

# Where people keep files. Other absolute paths are left alone, since `/v1/chat` is one as well; those that a config
# names are known, wherever they are.
_ROOTS = (
    "home|Users|users|root|mnt|media|tmp|var|private|opt|srv|data|datasets|work|workspaces?|scratch|storage|nfs|efs|"
    "projects?|lustre|gpfs|fsx|content|kaggle|notebooks|[Vv]olumes?|shared?|raid|ssd|nvme|models|checkpoints|cache"
)
_PATH = re.compile(rf"(?<![\w.~:/-])(?:file://)?(?:~|/(?:{_ROOTS})\d*)(?:/[\w.@+=~-]+)+/?")
# `[name](https://huggingface.co/name)`, where the name is a path
_LINK = re.compile(r"\[([^\]\n]*)\]\(https://huggingface\.co/[/~.][^)\n]*\)")


def hide_folders(text: str, folder: Path, config: Mapping[str, Any]) -> str:
    """`text` with every absolute path cut down to its name.

    Args:
        text: Markdown.
        folder: Where the model lies; axolotl makes a title of it, without the first slash.
        config: The training config, whose paths are replaced too.
    """
    text = _LINK.sub(r"\1", text)
    here = {str(place).lstrip("./") for place in (folder, folder.absolute(), folder.resolve())}
    for path in sorted({*_paths_in(config), *here}, key=len, reverse=True):
        if "/" in path:
            text = re.sub(rf"(?<![\w.~:/-]){re.escape(path)}(?![\w-])", _name(path), text)
    return _PATH.sub(lambda match: _name(match[0]), text)


def _name(path: str) -> str:
    return path.rstrip("/").rpartition("/")[2]


def _paths_in(node: Any) -> Iterator[str]:
    if isinstance(node, Mapping):
        for value in node.values():
            yield from _paths_in(value)
    elif isinstance(node, list):
        for value in node:
            yield from _paths_in(value)
    elif isinstance(node, str) and re.fullmatch(r"(?:/|~/|file:///)\S+[^/\s]/?", node):
        yield node.rstrip("/")
