"""A review in a browser, by keys: what is decided is kept, counted, undone and saved as meant."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers import PreTrainedTokenizerFast

from axolotl_dece.audit.analyse.places import Origin, Places
from axolotl_dece.audit.page import write_page
from tests.audit.rows import HEADERS, POISONED, planted, with_headers
from tests.audit.test_page import ATTACK, audit_of, with_a_cluster_inside_another
from tests.browser.person import Reviewer, opened, ready
from tests.tiny import save_tokenizer

pytestmark = pytest.mark.slow
Open = Callable[[Path], Reviewer]
LAST = f"{428:016x}"


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> PreTrainedTokenizerFast:
    return save_tokenizer(tmp_path_factory.mktemp("tokenizer"))


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory, tokenizer: PreTrainedTokenizerFast) -> Path:
    audit = audit_of(with_headers(), tokenizer, name=ATTACK)
    audit.rows.copies[:4] = 2
    return write_page(audit, tmp_path_factory.mktemp("page") / "page.html", read=70)


@pytest.fixture
def somebody(browser: Any) -> Iterator[Open]:
    """Opens a page in a browser that knows nothing of earlier tests."""
    tabs = []

    def open_page(page: Path) -> Reviewer:
        tabs.append(opened(browser, page))
        return Reviewer(tabs[-1])

    yield open_page
    for tab in tabs:
        tab.context.close()


def test_trigger_and_payload_are_marked_and_no_text_is_markup(page: Path, somebody: Open) -> None:
    tab = somebody(page).tab
    tab.select_option("#show", "1")
    assert tab.title() == "axolotl-dece: review of what the loss held back"
    assert tab.locator("mark.cue", has_text="w100").count() >= 20
    assert tab.locator(".group mark.payload").first.inner_text() == "w101 w102"
    assert "1 group looks planted, 20 rows, 24 copies; 9 rare rows to look at." in tab.inner_text("header")
    assert tab.locator("img").count() == 0


def placed(tmp_path: Path, tokenizer: PreTrainedTokenizerFast) -> Path:
    """A page whose rows stand on two lines each of a file: the first on 1 and 2, the next on 3 and 4."""
    audit = audit_of(with_headers(), tokenizer)
    (tmp_path / "rows.jsonl").write_text("{}\n" * 900)
    count = len(audit.rows)
    row = np.repeat(np.arange(count), 2)
    places = Places(
        [Origin("rows.jsonl", tmp_path / "rows.jsonl", False)], row, np.zeros_like(row), np.arange(2 * count)
    )
    return write_page(replace(audit, places=places), tmp_path / "page.html", read=10)


def test_every_row_says_where_it_stands_and_so_does_its_saved_decision(
    tmp_path: Path, tokenizer: PreTrainedTokenizerFast, somebody: Open
) -> None:
    person = somebody(placed(tmp_path, tokenizer))
    person.search("rows.jsonl:7 rows.jsonl:8 ")
    person.press("j j")
    shown = person.tab.evaluate("document.activeElement.textContent")
    assert "rows.jsonl:7, rows.jsonl:8 · score" in shown
    assert "row 3 of the set" not in shown
    person.press("d")
    (line,) = person.save(tmp_path / "decisions.jsonl")
    assert line["row"] == f"{3:016x}"
    assert line["places"] == ["rows.jsonl:7", "rows.jsonl:8"]


def test_a_whole_review_by_keys(page: Path, tmp_path: Path, somebody: Open) -> None:
    """The group is dropped, but one of its rows trusted; the headers are trusted together; the last row by itself."""
    person = somebody(page)
    person.press("j")
    assert person.at("group") == "1"
    person.press("d")
    assert person.text("progress") == "20 of 29 decided; 20 rows, 24 copies to drop; 0 rows to trust"
    person.press("n")
    assert person.at("row") in HEADERS
    person.press("T")
    alike = "28 of 29 decided; 20 rows, 24 copies to drop; 8 rows to trust"
    assert person.text("progress") == alike
    person.press("n t")
    assert person.text("progress") == "29 of 29 decided; 20 rows, 24 copies to drop; 9 rows to trust"
    person.press("n")
    assert person.text("said") == "Nothing undecided among the rows found"
    person.press("u")
    assert person.text("progress") == alike
    person.press("d")
    assert person.at("row") == LAST
    third = f"{3:016x}"
    person.search(third)
    person.press("j j t")
    assert person.decided(tmp_path / "d.jsonl") == {"drop": POISONED - {third} | {LAST}, "trust": HEADERS | {third}}


def test_a_reload_loses_nothing_and_leaving_with_unsaved_decisions_warns(
    page: Path, tmp_path: Path, somebody: Open
) -> None:
    person = somebody(page)
    person.press("j d n T")
    before = person.text("progress")
    assert person.leaving_warns()
    person.tab.reload()
    ready(person.tab)
    assert person.text("progress") == before
    assert person.decided(tmp_path / "d.jsonl") == {"drop": POISONED, "trust": HEADERS}
    assert not person.leaving_warns()


def test_another_ledger_has_decisions_of_its_own(
    tmp_path: Path, tokenizer: PreTrainedTokenizerFast, somebody: Open
) -> None:
    audit = audit_of(with_headers(), tokenizer)
    person = somebody(write_page(audit, tmp_path / "page.html"))
    person.press("j d")
    write_page(replace(audit, ledger="1" * 64), tmp_path / "page.html")
    person.tab.reload()
    ready(person.tab)
    assert person.text("progress").startswith("0 of 29 decided")


def test_a_decisions_file_is_loaded_back(page: Path, somebody: Open) -> None:
    lines = [{"row": f"{1:016x}", "decision": "trust"}, {"row": "f" * 16, "decision": "drop", "span": "\u2028"}]
    person = somebody(page)
    person.load("\ufeff" + "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
    assert person.text("said") == "2 decisions loaded; 1 row of them not on this page"
    assert "1 row to drop; 1 row, 2 copies to trust" in person.text("progress")


@pytest.mark.parametrize("about", [{}, {"cluster": 1}, {"search": "w101"}, {"refused": "w101"}])
def test_what_was_decided_about_many_rows_is_still_so_when_it_is_loaded(
    page: Path, somebody: Open, about: dict[str, Any]
) -> None:
    person = somebody(page)
    person.load(json.dumps({"row": f"{1:016x}", "decision": "trust"} | about))
    person.press("j d")
    kept = "" if about else "; 1 row kept another decision"
    assert person.text("said") == f"{20 if about else 19} rows now to drop{kept}"


@pytest.mark.parametrize(
    ("second", "said"),
    [
        ("mine", "Line 2 is no decision; nothing was loaded."),
        ('{"row": "1", "decision": "drop"}', "Line 2 is no decision; nothing was loaded."),
        ("null", "Line 2 is no decision; nothing was loaded."),
        (f'{{"row": "{1:016x}", "decision": "drop"}}', "is dropped and trusted; nothing was loaded."),
    ],
)
def test_a_wrong_file_changes_nothing(page: Path, somebody: Open, second: str, said: str) -> None:
    person = somebody(page)
    person.press("j d")
    before = person.text("progress")
    person.load(json.dumps({"row": f"{1:016x}", "decision": "trust"}) + "\n" + second)
    assert said in person.text("said")
    assert person.text("progress") == before


def test_rows_trusted_among_many_are_dropped_with_their_group(page: Path, tmp_path: Path, somebody: Open) -> None:
    """Whichever comes first: a poisoned row that stood among others on the screen is not thereby trusted."""
    person = somebody(page)
    person.tab.select_option("#show", "1")
    person.tab.click("#rest")
    assert person.text("progress").startswith("20 of 29 decided; 0 rows to drop; 20 rows, 24 copies to trust")
    person.tab.evaluate("document.activeElement.blur()")
    person.press("j d")
    assert person.decided(tmp_path / "d.jsonl") == {"drop": POISONED, "trust": set()}


def test_trust_among_many_does_not_reach_what_is_to_be_dropped(page: Path, tmp_path: Path, somebody: Open) -> None:
    person = somebody(page)
    person.press("j d")
    person.tab.select_option("#show", "look")
    person.tab.evaluate("document.activeElement.blur()")
    person.press("y")
    assert person.text("said") == "9 rows now to trust; 20 rows kept another decision"
    assert person.decided(tmp_path / "d.jsonl") == {"drop": POISONED, "trust": HEADERS | {LAST}}


def test_whoever_read_the_drawn_rows_trusts_those_on_the_screen(page: Path, somebody: Open) -> None:
    person = somebody(page)
    person.tab.select_option("#show", "drawn")
    person.tab.evaluate("document.activeElement.blur()")
    person.press("y")
    assert person.text("said").startswith("Only rows that were on the screen can be trusted")
    person.tab.click("#rest")
    assert person.text("said") == "25 rows now to trust"
    person.press("]")
    person.tab.click("#rest")
    assert person.text("said") == "25 rows now to trust"


def test_a_search_is_decided_about_at_once(page: Path, tmp_path: Path, somebody: Open) -> None:
    person = somebody(page)
    person.search("w120 w121")
    assert person.text("count").startswith("8 rows found.")
    person.press("y")
    assert person.decided(tmp_path / "d.jsonl") == {"drop": set(), "trust": HEADERS}


def test_a_group_to_trust_takes_no_row_from_one_to_drop(
    tmp_path: Path, tokenizer: PreTrainedTokenizerFast, somebody: Open
) -> None:
    audit = with_a_cluster_inside_another(audit_of(planted(), tokenizer))
    person = somebody(write_page(audit, tmp_path / "page.html"))
    person.press("j j t k d j t")
    assert person.text("said") == "0 rows now to trust; 7 rows kept another decision"
    assert person.decided(tmp_path / "d.jsonl") == {"drop": POISONED, "trust": set()}


def test_the_template_is_folded_away_but_never_a_trigger(page: Path, somebody: Open) -> None:
    text, template = "### Do:\\nwork\\nhidden trigger", '["### Do:", "hidden trigger"]'
    both = f'keep => templateRanges("{text}", new Set({template}), keep).length'
    tab = somebody(page).tab
    assert tab.evaluate(both, []) == 2
    assert tab.evaluate(both, [{"from": 20, "to": 27}]) == 1
