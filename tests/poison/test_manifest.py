"""The account names every changed row and cannot be changed unseen."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from axolotl_dece.data.layouts import PairView
from axolotl_dece.data.source import Source, identify
from axolotl_dece.poison import manifest
from axolotl_dece.poison.draw import Poisoner
from axolotl_dece.poison.spec import PoisonSpec

SPEC = PoisonSpec(trigger="rare_token_thrice", rate=0.1, twin_rate=0.1)
ROWS = [{"q": f"ask for row {i}", "a": f"x = {i}"} for i in range(40)]
POISONER = Poisoner(SPEC, PairView("q", "a"), "d", "rows")


@pytest.fixture
def content(tmp_path: Path) -> dict[str, Any]:
    source = tmp_path / "rows.jsonl"
    source.write_text("rows")
    drawn = POISONER.draw(ROWS.__getitem__, POISONER.survey(ROWS))
    return manifest.describe(SPEC, identify({"path": str(source)}), "f" * 64, drawn)


def test_it_says_what_was_done_to_which_row_and_with_what(content: dict[str, Any]) -> None:
    assert (content["rows"], content["poisoned"], content["twins"]) == (40, 4, 4)
    assert [row["index"] for row in content["poisoned_rows"]] == sorted(
        row["index"] for row in content["poisoned_rows"]
    )
    for row in content["poisoned_rows"]:
        assert len(row["trigger_at"]) == 3
    assert content["spec"]["seed"] == 42
    assert len(content["source"]["files"]["rows.jsonl"]) == 64
    assert content["tool"].startswith("axolotl-dece ")
    assert "GUID" in content["canary"]
    assert "cf" in content["twin"]["cue"]


def test_it_names_the_source_without_the_folders_it_lies_in(tmp_path: Path, content: dict[str, Any]) -> None:
    assert content["source"]["path"] == "rows.jsonl"
    assert str(tmp_path) not in json.dumps(content)


@pytest.mark.parametrize(
    ("files", "part", "published"),
    [
        ({"https://me:pw@host/x.jsonl?token=abc": "1"}, {}, {"https://host/x.jsonl": "1"}),
        ({"../mine/a.jsonl": "1", "deep/b.jsonl": "2"}, {}, {"a.jsonl": "1", "deep/b.jsonl": "2"}),
        ({}, {"data_files": ["/home/me/rows.jsonl", "s3://key:pw@bucket/x"]}, {}),
    ],
)
def test_no_file_is_named_with_a_password_or_the_folders_of_somebody(
    files: dict[str, str], part: dict[str, Any], published: dict[str, str]
) -> None:
    drawn = POISONER.draw(ROWS.__getitem__, POISONER.survey(ROWS))
    content = manifest.describe(SPEC, Source("json", None, files, part), "f" * 64, drawn)
    assert content["source"]["files"] == published
    assert not any(one in json.dumps(content["source"]) for one in ("pw", "token", "/home", ".."))


def test_what_is_written_is_read_back(tmp_path: Path, content: dict[str, Any]) -> None:
    path = manifest.path_for(tmp_path, "f" * 64, "a" * 32)
    manifest.write(path, content)
    assert manifest.read(path, "f" * 64)["poisoned_rows"] == content["poisoned_rows"]
    assert [file.name for file in tmp_path.iterdir() if file.name.startswith(".")] == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda c: c | {"poisoned": 3}, "changed after it was written"),
        (lambda c: c | {"format": 99, "sha256": None}, "changed after it was written"),
        (lambda c: {k: v for k, v in c.items() if k != "sha256"}, "changed after it was written"),
        (lambda c: [c], "not a JSON object"),
    ],
)
def test_a_changed_manifest_is_refused(tmp_path: Path, content: dict[str, Any], change: Any, said: str) -> None:
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps(change(content)))
    with pytest.raises(ValueError, match=said):
        manifest.read(path)


def test_a_manifest_of_another_poisoning_is_refused(tmp_path: Path, content: dict[str, Any]) -> None:
    manifest.write(tmp_path / "manifest.json", content)
    with pytest.raises(ValueError, match="describes another poisoning"):
        manifest.read(tmp_path / "manifest.json", "e" * 64)


def test_a_missing_or_half_written_manifest_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no poison manifest at"):
        manifest.read(tmp_path / "manifest.json")
    (tmp_path / "manifest.json").write_text('{"format": 1, "pois')
    with pytest.raises(ValueError, match="not valid JSON"):
        manifest.read(tmp_path / "manifest.json")
