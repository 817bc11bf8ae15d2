"""What exactly a dataset entry reads: digests of files, a commit of the hub, a checksum of a remote file.

Two things follow from it: a changed source is never mistaken for the prepared one, and the draw of rows depends on
the content, not on where a machine keeps it.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from axolotl_dece.util.digest import digest, file_digest


@dataclass(frozen=True)
class Source:
    """Where rows came from.

    Attributes:
        path: As the config says it.
        revision: The commit, for a dataset of the hub.
        files: File name to sha256 (local) or checksum (remote).
        part: Split, configuration and data files, as far as the entry names them.
    """

    path: str
    revision: str | None
    files: Mapping[str, str]
    part: Mapping[str, Any]

    @property
    def digest(self) -> str:
        """Digest of the content; the same wherever a local file lies and whatever it is called."""
        return digest([self.content, dict(self.part)])

    @property
    def local_files(self) -> list[Path]:
        """Where the files lie on this machine, if they do."""
        base = Path(self.path)
        return [base] if base.is_file() else [base / name for name in self.files if base.is_dir()]

    @property
    def content(self) -> list[str | None]:
        """What changes when the content does."""
        return [*sorted(self.files.values())] or [self.path, self.revision]


def identify(entry: Mapping[str, Any]) -> Source:
    """What a dataset entry of the config reads, now.

    Args:
        entry: `path`, and as far as given `data_files`, `revision`, `split` and `name`.

    Raises:
        ValueError: If there is no path, or a local one holds no file.
    """
    path = entry.get("path")
    if not path or not isinstance(path, str):
        raise ValueError(f"a dataset with `type: axolotl_dece.poison` needs `path`, got {path!r}")
    part = {key: entry[key] for key in ("split", "name") if entry.get(key)}
    local = Path(path)
    if local.exists():
        return Source(path, None, dict(_local_digests(local, entry.get("data_files"))), part)
    from axolotl_dece.data import remote

    if "://" in path:
        return Source(path, None, {path: remote.checksum(path)}, part)
    if entry.get("data_files"):
        part["data_files"] = entry["data_files"]
    return Source(path, remote.hub_commit(path, entry.get("revision")), {}, part)


def _local_digests(path: Path, data_files: Any) -> Iterator[tuple[str, str]]:
    if path.is_file():
        yield path.name, _once(path)
        return
    if data_files:
        patterns = [data_files] if isinstance(data_files, str) else list(data_files)
        found = sorted({name for pattern in patterns for name in glob.glob(str(pattern), recursive=True)})
        files = [Path(name) for name in found]
    else:
        # `cache-*.arrow` is what `datasets` leaves behind in a folder it has read
        files = [file for file in sorted(path.rglob("*")) if not file.name.startswith((".", "cache-"))]
    files = [file for file in files if file.is_file()]
    if not files:
        raise ValueError(f"{path} (data_files: {data_files}) holds no file, so there is nothing to poison")
    for file in files:
        yield os.path.relpath(file, path), _once(file)


def _once(path: Path) -> str:
    """The digest of a file, read again only when the file was written since."""
    found = path.stat()
    return _digest_of_version(path.resolve(), (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns))


@lru_cache(maxsize=4096)
def _digest_of_version(path: Path, _: tuple[int, ...]) -> str:
    return file_digest(path)
