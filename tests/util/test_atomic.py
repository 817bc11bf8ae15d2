"""A file is there whole or not at all, and its bytes reach the disk before its name does."""

import errno
import os
from pathlib import Path

import pytest

from axolotl_dece.util.atomic import whole_file, write_text_atomically


def test_the_bytes_are_on_the_disk_before_the_name_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that loses its power between the two would leave an empty file under the name."""
    done: list[tuple[str, int]] = []
    fsync, replace = os.fsync, Path.replace

    def record_fsync(descriptor: int) -> None:
        fsync(descriptor)
        done.append(("bytes", os.fstat(descriptor).st_ino))

    def record_replace(self: Path, target: Path) -> Path:
        done.append(("name", self.stat().st_ino))
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", record_fsync)
    monkeypatch.setattr(Path, "replace", record_replace)
    write_text_atomically(tmp_path / "a.json", "new")
    written = (tmp_path / "a.json").stat().st_ino
    assert done == [("bytes", written), ("name", written)]


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_after_an_error_nothing_has_changed(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "a.json"
    path.write_text("old")

    def write_half() -> None:
        with whole_file(path) as scratch:
            scratch.write_text("ha")
            raise error

    with pytest.raises(error):
        write_half()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_place_that_cannot_be_written_is_named_as_a_mistake_of_the_users(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ValueError, match=r"file/a\.json cannot be written: .*(Not a directory|File exists)"):
        write_text_atomically(tmp_path / "file" / "a.json", "new")


def test_a_full_disk_is_named_with_the_file_and_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.json"
    path.write_text("old")

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ValueError, match=r"a\.json cannot be written: .*No space left on device"):
        write_text_atomically(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
