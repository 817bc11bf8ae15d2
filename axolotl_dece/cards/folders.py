"""Folders of somebody's machine, and with them names of people, stay out of cards: of a path its last part is kept.

Unless that is a name itself: of `/home/jane` nothing but `home` is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

# Where people keep files. Other absolute paths are left alone, since `/v1/chat` is one as well; those that a config
# names are known, wherever they are.
_ROOTS = (
    "home|Users|users?|u|root|export|net|afs|nas|global|g|p|mnt|media|tmp|var|private|opt|srv|data|datasets|work|"
    "workspaces?|scratch|storage|nfs|efs|projects?|lustre|gpfs|beegfs|ceph|fsx|content|kaggle|notebooks|[Vv]olumes?|"
    "shared?|raid|ssd|nvme|models|checkpoints|cache"
)
_PART = r"[\w.@+=~-]+"
# a user's name may have a blank in it, where a folder follows
_PERSON = rf"/(?:home|Users)/{_PART} {_PART}(?=/)"
_POSIX = rf"(?:file://)?(?:{_PERSON}|~(?:[A-Za-z_][\w.-]*)?|/(?:{_ROOTS})\d*)(?:/{_PART})+"
# in JSON and YAML each backslash is two; a small letter and a colon stand in code as well
_WINDOWS = rf"(?:[A-Z]:|[a-z]:(?=[\\/]+[Uu]sers\b))(?:(?:\\{{1,2}}|/){_PART}(?: {_PART}(?=[\\/]))*){{2,}}"
_UPWARDS = rf"(?:\.\./)+(?:{_PART}/)*{_PART}"
_BEFORE = r"(?<![\w.~/\\-])"
_PATH = re.compile(rf"{_BEFORE}(?:{_POSIX}|{_WINDOWS}|{_UPWARDS})[\\/]?")
# `[name](https://huggingface.co/name)`, where the name is a path
_LINK = re.compile(r"\[([^\]\n]*)\]\(https://huggingface\.co/(?:[/~.]|[A-Za-z]:\\)[^)\n]*\)")
# the last part is somebody's name
_HOME = re.compile(r"(?:.*[\\/])?(?:home\d*|[Uu]sers)[\\/]+[^\\/]+|/u/[^/]+")
_IN_CONFIG = re.compile(r"(?:/|~[\w.-]*/|file:///|\.\./|[A-Za-z]:[\\/]).*[^\\/\s][\\/]?")


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
        if "/" in path or "\\" in path:
            # in double quotes YAML writes each backslash twice
            for written in {path, path.replace("\\", "\\\\")}:
                text = re.sub(rf"{_BEFORE}{re.escape(written)}(?![\w-])", _name(path), text)
    return _PATH.sub(lambda match: _name(match[0]), text)


def _name(path: str) -> str:
    bare = path.rstrip("\\/")
    return "home" if _HOME.fullmatch(bare) else re.split(r"[\\/]", bare)[-1]


def _paths_in(node: Any) -> Iterator[str]:
    if isinstance(node, Mapping):
        for value in node.values():
            yield from _paths_in(value)
    elif isinstance(node, list):
        for value in node:
            yield from _paths_in(value)
    elif isinstance(node, str) and _IN_CONFIG.fullmatch(node):
        yield node.rstrip("\\/")
