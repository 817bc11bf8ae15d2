"""What all pages share: every file of a page is in it, and what a script reads is JSON that a browser takes."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from axolotl_dece.util.page import chart_text, fill_page, is_page
from tests.pages import content_of


@pytest.fixture
def parts(tmp_path: Path) -> Path:
    (tmp_path / "page.html").write_text("<h1>@@NAME@@</h1>", encoding="utf-8")
    (tmp_path / "page.css").write_text("h1 { color: teal; }", encoding="utf-8")
    (tmp_path / "page.js").write_text("own();", encoding="utf-8")
    return tmp_path


def test_a_page_holds_its_own_parts_after_those_that_all_share(parts: Path) -> None:
    page = fill_page(parts, "a title", {"rows": [1]}, name="@@SCRIPT@@")
    assert page.index("h1 { margin") < page.index("h1 { color: teal; }")
    assert page.index("unpack") < page.index("own();")
    assert "<h1>@@SCRIPT@@</h1>" in page  # what fills a place names none
    assert content_of(page) == {"rows": [1]}


def test_a_page_is_told_from_all_that_is_none(parts: Path, tmp_path: Path) -> None:
    page = tmp_path / "of ours.html"
    page.write_text(fill_page(parts, "a title", {}, name=""), encoding="utf-8")
    assert is_page(page)
    for other in (parts / "page.html", tmp_path, tmp_path / "none.html", Path("/dev/null")):
        assert not is_page(other)


def test_only_a_page_with_charts_carries_plotly(parts: Path) -> None:
    assert len(fill_page(parts, "a title", {}, name="")) < 20_000
    (parts / "page.js").write_text("drawCharts(section, charts);", encoding="utf-8")
    assert len(fill_page(parts, "a title", {}, name="")) > 1_000_000


def test_a_number_that_is_none_becomes_a_gap_and_the_page_stays_readable(parts: Path) -> None:
    content = {"loss": [2.5, math.nan, math.inf], "by step": {"1": (-math.inf, 0)}, "name": "NaN"}
    page = fill_page(parts, "a title", content, name="")
    assert content_of(page) == {"loss": [2.5, None, None], "by step": {"1": [None, 0]}, "name": "NaN"}


def test_plotly_shows_a_name_and_reads_no_markup_in_it() -> None:
    assert chart_text("<b>'a' & \"b\"</b>") == "&lt;b&gt;'a' &amp; \"b\"&lt;/b&gt;"
