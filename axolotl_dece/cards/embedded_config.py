"""The config that axolotl copies into every model card."""

from __future__ import annotations

import re
from typing import NamedTuple

_EMBEDDED = re.compile(
    r"<summary>See axolotl config</summary>\s*(?:axolotl version: `(?P<version>[^`]*)`\s*)?"
    r"```ya?ml\n(?P<text>.*?)\n```\s*\n\s*</details>",
    re.DOTALL,
)


class EmbeddedConfig(NamedTuple):
    """What a card says a model was trained with.

    Attributes:
        text: The YAML.
        axolotl: The version of axolotl, where the card says it.
    """

    text: str
    axolotl: str | None


def embedded_config(card: str) -> EmbeddedConfig | None:
    """The config in a model card, or None."""
    match = _EMBEDDED.search(card.replace("\r\n", "\n"))
    return EmbeddedConfig(match["text"], match["version"]) if match else None
