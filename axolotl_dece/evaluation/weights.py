"""Which model is this? Read from the files, without torch."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from axolotl_dece.data.base_model import CONFIG_FILES, POISONED_MARK
from axolotl_dece.util.digest import digest, file_digest
from axolotl_dece.util.json_text import read_object


def model_digest(*places: str | Path) -> str:
    """Digest that changes with what the model in `places` computes.

    Every byte of every safetensors file and every key of the configs count, not the folders' names.

    Args:
        places: Folders of a model and of its adapter; a hub name counts by its name.

    Raises:
        ValueError: If a config is not a JSON object.
    """
    return digest([list(_describe(Path(place))) if Path(place).is_dir() else str(place) for place in places])


def _describe(folder: Path) -> Iterator[list[str]]:
    for path in sorted(folder.glob("*.safetensors")):
        yield [path.name, file_digest(path)]
    # what a model does with its weights: `rope_theta`, `lora_alpha`; a card's mark leaves the model the same
    for path in (folder / name for name in CONFIG_FILES):
        if path.is_file():
            config = read_object(path, "save the model again")
            yield [path.name, digest({key: value for key, value in config.items() if key != POISONED_MARK})]
