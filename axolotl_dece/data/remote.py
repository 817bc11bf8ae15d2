"""What pins rows that lie elsewhere: a checksum of a file, a commit of the hub."""

from __future__ import annotations

from pathlib import Path


def checksum(path: str) -> str:
    """What the file system that serves `path` calls its content; it changes when that does."""
    import fsspec

    filesystem, name = fsspec.core.url_to_fs(path)
    return str(filesystem.checksum(name))


def hub_commit(repository: str, revision: str | None) -> str | None:
    """The commit a dataset of the hub stands at: asked online, else as it was last downloaded.

    Returns:
        The commit, or the revision as it was given where neither the hub nor the cache knows it.
    """
    from huggingface_hub import HfApi, constants
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, OfflineModeIsEnabled

    try:
        return HfApi().dataset_info(repository, revision=revision).sha
    except HFValidationError:
        return revision  # no repository's name; axolotl says so when it loads the data
    except (HfHubHTTPError, OfflineModeIsEnabled, ConnectionError, OSError):
        folder = f"datasets--{repository.replace('/', '--')}"
        reference = Path(constants.HF_HUB_CACHE) / folder / "refs" / (revision or "main")
        return reference.read_text(encoding="utf-8").strip() if reference.is_file() else revision
