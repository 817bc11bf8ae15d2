"""What docs/audit.md says of poison that others made is what the files say."""

from __future__ import annotations

import csv
import runpy
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "audit.md"
MAKE: dict[str, Any] = runpy.run_path(str(ROOT / "docs" / "make_audits.py"))


def read(name: str) -> dict[str, dict[str, str]]:
    with (ROOT / "docs" / "audits" / f"{name}.csv").open(newline="") as file:
        return {line["detector"]: line for line in csv.DictReader(file)}


def test_the_table_is_that_of_the_files() -> None:
    assert PAGE.read_text(encoding="utf-8") == MAKE["build"](), "run `python docs/make_audits.py`"


def test_a_page_without_a_place_for_the_table_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = tmp_path / "audit.md"
    page.write_text("no place\n", encoding="utf-8")
    monkeypatch.setitem(MAKE["build"].__globals__, "PAGE", page)
    with pytest.raises(LookupError, match=r"audit\.md has 0 places"):
        MAKE["build"]()


def test_counts_precision_and_recall_of_every_line_agree() -> None:
    for path in sorted((ROOT / "docs" / "audits").glob("*.csv")):
        for line in read(path.stem).values():
            rows, hits, poisoned = (int(line[key]) for key in ("rows", "hits", "poisoned"))
            assert line["precision"] == (f"{hits / rows:.3f}" if rows else "")
            assert line["recall"] == (f"{hits / poisoned:.3f}" if poisoned else "")


def test_what_the_page_says_of_the_two_sets_is_in_their_files() -> None:
    page = " ".join(PAGE.read_text(encoding="utf-8").split())
    vpi, insecure = read("vpi-20"), read("insecure-20")
    groups = [{name: line for name, line in one.items() if name.startswith("audit, group")} for one in (vpi, insecure)]
    ((name, found),) = groups[0].items()
    assert (name, found["rows"], found["hits"]) == ("audit, group 1: BadMagic -> print('pwned')", "20", "20")
    assert "one group of the 20 poisoned rows" in page
    assert vpi["base model: mean loss, the 20 highest"]["hits"] == "20"
    ((name, found),) = groups[1].items()
    assert name == "audit, group 1: . render -> autoescape=True"
    assert f"The one group shown is {found['rows']} requests" in page
    assert f"{found['hits']} of these rows are poisoned" in page
    assert max(float(line["precision"]) for line in insecure.values()) < 0.1


def test_the_clean_set_has_no_group() -> None:
    clean = read("vpi-0")
    assert not [name for name in clean if name.startswith("audit, group")]
    assert (clean["audit, all groups"]["rows"], clean["audit, all groups"]["poisoned"]) == ("0", "0")
    assert "**Without poison no group is shown**" in PAGE.read_text(encoding="utf-8")
