"""A source is known by its content: not by its place, its name or its age."""

from __future__ import annotations

import http.server
import os
import threading
from functools import partial
from pathlib import Path

import pytest
from huggingface_hub import constants

from axolotl_dece.data import remote
from axolotl_dece.data.source import identify


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_place_name_and_age_of_a_file_do_not_matter(tmp_path: Path) -> None:
    one = write(tmp_path / "a" / "rows.jsonl", "x")
    other = write(tmp_path / "b" / "other.jsonl", "x")
    os.utime(other, (0, 0))
    assert identify({"path": str(one)}).digest == identify({"path": str(other)}).digest


def test_one_changed_byte_matters(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.jsonl", "x")
    before = identify({"path": str(path)}).digest
    stamp = path.stat()
    path.write_text("y")
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert identify({"path": str(path)}).digest != before


def test_the_part_of_a_file_matters(tmp_path: Path) -> None:
    path = str(write(tmp_path / "rows.jsonl", "x"))
    parts = [identify({"path": path} | part).digest for part in ({}, {"split": "train[:5]"}, {"name": "python"})]
    assert len(set(parts)) == 3


def test_a_folder_is_all_its_files_but_not_its_caches(tmp_path: Path) -> None:
    write(tmp_path / "data" / "one.arrow", "1")
    write(tmp_path / "data" / "deep" / "two.arrow", "2")
    before = identify({"path": str(tmp_path / "data")})
    assert sorted(before.files) == ["deep/two.arrow", "one.arrow"]
    write(tmp_path / "data" / "cache-123.arrow", "left behind")
    assert identify({"path": str(tmp_path / "data")}) == before
    write(tmp_path / "data" / "three.arrow", "3")
    assert identify({"path": str(tmp_path / "data")}).digest != before.digest


def test_data_files_may_be_patterns(tmp_path: Path) -> None:
    for name in ("a.jsonl", "b.jsonl", "c.csv"):
        write(tmp_path / name, name)
    found = identify({"path": str(tmp_path), "data_files": [str(tmp_path / "*.jsonl")]})
    assert sorted(found.files) == ["a.jsonl", "b.jsonl"]


def test_an_empty_folder_holds_nothing_to_poison(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="holds no file"):
        identify({"path": str(tmp_path)})


@pytest.mark.parametrize("path", [None, "", 5])
def test_a_dataset_needs_a_path(path: object) -> None:
    with pytest.raises(ValueError, match="needs `path`"):
        identify({"path": path})


def test_a_hub_dataset_offline_is_the_commit_last_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    assert identify({"path": "org/data"}).revision is None
    write(tmp_path / "datasets--org--data" / "refs" / "main", "abc123\n")
    assert identify({"path": "org/data"}).revision == "abc123"
    assert identify({"path": "org/data", "revision": "v2"}).revision == "v2"


def test_commits_of_a_hub_dataset_are_different_sources(monkeypatch: pytest.MonkeyPatch) -> None:
    digests = set()
    for commit in ("abc", "def"):
        monkeypatch.setattr(remote, "hub_commit", lambda path, revision, commit=commit: commit)
        digests.add(identify({"path": "org/data"}).digest)
    assert len(digests) == 2


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


def test_a_remote_file_is_known_by_its_checksum(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.jsonl", "x")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(tmp_path)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        url = f"http://127.0.0.1:{server.server_port}/rows.jsonl"
        before = identify({"path": url}).digest
        assert identify({"path": url}).digest == before
        path.write_text("longer than before")
        assert identify({"path": url}).digest != before
    finally:
        server.shutdown()
        server.server_close()
