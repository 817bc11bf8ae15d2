"""Which weights are these? Read from the files, without torch."""

from __future__ import annotations

from pathlib import Path

from axolotl_dece.util.digest import digest, file_digest


def weights_digest(*places: str | Path) -> str:
    """Digest that changes with the weights in `places`: every byte of every safetensors file, not the folders' names.

    Args:
        places: Folders of a model and of its adapter; a hub name counts by its name.
    """
    return digest([_describe(Path(place)) if Path(place).is_dir() else str(place) for place in places])


def _describe(folder: Path) -> list[list[str]]:
    return [[path.name, file_digest(path)] for path in sorted(folder.glob("*.safetensors"))]
