"""A YAML text into a mapping, in bounded time and memory, and what plain YAML would not say about it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml

_MOST_VALUES = 50_000
# What PyYAML's constructors raise on a tag that does not suit its value, such as `!!int ""` or `!!timestamp soon`.
_BROKEN = (yaml.YAMLError, ValueError, LookupError, AttributeError, TypeError, RecursionError)


class _BoundedLoader(yaml.SafeLoader):
    """Safe YAML that gives up on more values than any config has, while it reads."""

    values = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        self.values += 1
        if self.values > _MOST_VALUES:
            raise ValueError(f"it holds more than {_MOST_VALUES} values, so it is no config; not read")
        return super().compose_node(parent, index)


def parse_config(text: str, origin: str) -> tuple[dict[Any, Any], list[str]]:
    """The mapping in a YAML text, and a sentence for every key that is written twice.

    Args:
        text: The YAML.
        origin: Where it is from, for the messages.

    Raises:
        ValueError: It is not a YAML mapping, or one that only pretends to be a config.
    """
    try:
        loader = _BoundedLoader(text)
        try:
            node = loader.get_single_node()
            _refuse_bomb(node)
            duplicates = list(_find_duplicates(node))
            content = loader.construct_document(node) if node else None
        finally:
            loader.dispose()
    except _BROKEN as error:
        raise ValueError(f"{origin} is not valid YAML: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{origin} holds no mapping of keys to values, so it is not an axolotl config")
    return content, duplicates


def _children(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [part for pair in node.value for part in pair]
    return list(node.value) if isinstance(node, yaml.SequenceNode) else []


def _refuse_bomb(root: yaml.Node | None) -> None:
    """Raise ValueError where aliases and merges unfold into more values than any config has."""
    known: dict[int, int] = {}

    def unfolded(node: yaml.Node) -> int:
        if id(node) not in known:
            known[id(node)] = _MOST_VALUES + 1  # an alias inside of what it names has no end
            known[id(node)] = min(1 + sum(map(unfolded, _children(node))), _MOST_VALUES + 1)
        return known[id(node)]

    if root and unfolded(root) > _MOST_VALUES:
        raise ValueError(f"it unfolds into more than {_MOST_VALUES} values, so it is no config; not read")


def _find_duplicates(root: yaml.Node | None) -> Iterator[str]:
    """Keys that one mapping holds twice, of which plain YAML keeps the last without a word; merges may be repeated."""
    waiting, seen = [root] if root else [], set()
    while waiting:
        node = waiting.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        waiting += reversed(_children(node))
        lines: dict[tuple[str, str], int] = {}
        for key, _ in node.value if isinstance(node, yaml.MappingNode) else []:
            if not isinstance(key, yaml.ScalarNode) or key.tag == "tag:yaml.org,2002:merge":
                continue
            name, line = (key.tag, key.value), key.start_mark.line + 1
            if name in lines:
                yield f"`{key.value}` is written twice, in lines {lines[name]} and {line}; YAML keeps the last"
            lines[name] = line
