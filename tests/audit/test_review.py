"""A review in a browser, by keys: what is decided is kept, counted, undone and saved as meant."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from transformers import PreTrainedTokenizerFast

from axolotl_dece.audit.analyse.places import Origin, Places
from axolotl_dece.audit.decisions import read_decisions
from axolotl_dece.audit.page import write_page
from tests.audit.rows import Story, plain_prompt, planted
from tests.audit.test_page import (
    ATTACK,
    audit_of,
    in_browser,
    needs_browser,
    noted,
    with_a_cluster_inside_another,
)
from tests.tiny import save_tokenizer

pytestmark = [needs_browser, pytest.mark.slow]
POISONED = {f"{at:016x}" for at in range(20)}
HEADERS = {f"{at:016x}" for at in range(420, 428)}


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> PreTrainedTokenizerFast:
    return save_tokenizer(tmp_path_factory.mktemp("tokenizer"))


def with_headers() -> Story:
    """A planted backdoor, eight rows with the same rare header, and a rare row by itself."""
    story = planted()
    rng = random.Random(3)
    for at in range(9):
        header = "w120 w121" if at < 8 else "w122 w123"
        story.tell(plain_prompt(rng), f"print {header} w{rng.randrange(40)} ( )", {1: 3, 2: 3})
    return story


@pytest.fixture
def page(tmp_path: Path, tokenizer: PreTrainedTokenizerFast) -> Path:
    audit = audit_of(with_headers(), tokenizer, name=ATTACK)
    audit.rows.copies[:4] = 2
    return write_page(audit, tmp_path / "page.html", read=70)


def decided(shown: str, folder: Path) -> dict[str, set[str]]:
    """Rows by decision, of what was saved, as a run would read it."""
    file = folder / "decisions.jsonl"
    file.write_text(noted(shown, "saved"))
    read_decisions(file)
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    return {kind: {line["row"] for line in lines if line["decision"] == kind} for kind in ("drop", "trust")}


def test_trigger_and_payload_are_marked_and_no_text_is_markup(page: Path) -> None:
    shown = in_browser(page, work="show(1);")
    assert "<title>axolotl-dece: review of what the loss held back</title>" in shown
    assert shown.count('<mark class="cue">w100</mark>') >= 20
    assert '<mark class="payload">w101 w102</mark>' in shown
    assert "as its cluster" not in shown
    assert "1 group looks planted, 20 rows, 24 copies; 9 rare rows to look at." in shown


def placed(tmp_path: Path, tokenizer: PreTrainedTokenizerFast) -> Path:
    """A page whose first row stands on lines 4 and 12 of a file, as every row does with its neighbour's line."""
    audit = audit_of(with_headers(), tokenizer)
    (tmp_path / "rows.jsonl").write_text("{}\n" * 900)
    count = len(audit.rows)
    row = np.repeat(np.arange(count), 2)
    places = Places(
        [Origin("rows.jsonl", tmp_path / "rows.jsonl", False)], row, np.zeros_like(row), np.arange(2 * count)
    )
    return write_page(replace(audit, places=places), tmp_path / "page.html", read=10)


def test_every_row_says_where_it_stands_and_so_does_its_saved_decision(
    tmp_path: Path, tokenizer: PreTrainedTokenizerFast
) -> None:
    page = placed(tmp_path, tokenizer)
    work = """
    search("rows.jsonl:7 rows.jsonl:8 "); press("j", "j");
    note("row", document.activeElement.textContent); press("d", "s");
    """
    shown = in_browser(page, work=work)
    assert "rows.jsonl:7, rows.jsonl:8 · score" in noted(shown, "row")
    assert "row 3 of the set" not in noted(shown, "row")
    (line,) = [json.loads(line) for line in noted(shown, "saved").splitlines()]
    assert line["row"] == f"{3:016x}"
    assert line["places"] == ["rows.jsonl:7", "rows.jsonl:8"]


def test_a_whole_review_by_keys(page: Path, tmp_path: Path) -> None:
    """The group is dropped, but one of its rows trusted; the headers are trusted together; the last row by itself."""
    work = """
    press("j"); note("at-group", here().group); press("d"); note("dropped");
    press("n"); note("at-row", here().row); press("T"); note("alike");
    press("n"); press("t"); note("all-done"); press("n"); note("nothing-left", byId("said").textContent);
    press("u"); note("undone"); press("d"); note("at-last", here().row);
    search("0000000000000003"); press("j", "j", "t"); note("one-trusted"); press("s");
    """
    shown = in_browser(page, work=work)
    assert noted(shown, "at-group") == "1"
    assert noted(shown, "dropped") == "20 of 29 decided; 20 rows, 24 copies to drop; 0 rows to trust"
    assert noted(shown, "at-row") in HEADERS
    assert noted(shown, "alike") == "28 of 29 decided; 20 rows, 24 copies to drop; 8 rows to trust"
    assert noted(shown, "all-done") == "29 of 29 decided; 20 rows, 24 copies to drop; 9 rows to trust"
    assert noted(shown, "nothing-left") == "Nothing undecided among the rows found"
    assert noted(shown, "undone") == noted(shown, "alike")
    last = f"{428:016x}"
    assert noted(shown, "at-last") == last
    expected = {"drop": POISONED - {f"{3:016x}"} | {last}, "trust": HEADERS | {f"{3:016x}"}}
    assert decided(shown, tmp_path) == expected


def test_a_reload_loses_nothing_and_leaving_with_unsaved_decisions_warns(page: Path, tmp_path: Path) -> None:
    leave = """const leaving = new Event("beforeunload", { cancelable: true });
    dispatchEvent(leaving); note("warns", leaving.defaultPrevented);"""
    first = in_browser(page, work=f'press("j", "d", "n", "T"); note("before"); {leave}')
    assert noted(first, "warns") == "true"
    again = in_browser(page, work=f'note("after"); press("s"); {leave}')
    assert noted(again, "after") == noted(first, "before")
    assert noted(again, "warns") == "false"
    assert decided(again, tmp_path) == {"drop": POISONED, "trust": HEADERS}


def test_another_ledger_has_decisions_of_its_own(tmp_path: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    audit = audit_of(with_headers(), tokenizer)
    in_browser(write_page(audit, tmp_path / "page.html"), work='press("j", "d");')
    other = write_page(replace(audit, ledger="1" * 64), tmp_path / "page.html")
    assert noted(in_browser(other, work='note("then");'), "then").startswith("0 of 29 decided")


# a real file would be read in real time, and the browser's clock is a virtual one; tests/browser loads a real file
LOAD = """
Blob.prototype.text = async () => %s;
const given = new DataTransfer(); given.items.add(new File([""], "d.jsonl"));
byId("load").files = given.files; byId("load").dispatchEvent(new Event("change"));
await new Promise((done) => setTimeout(done, 500));
note("said", byId("said").textContent); note("then");
"""


def test_a_decisions_file_is_loaded_back(page: Path) -> None:
    lines = [{"row": f"{1:016x}", "decision": "trust"}, {"row": "f" * 16, "decision": "drop", "span": "\u2028"}]
    text = "\ufeff" + "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    shown = in_browser(page, work=LOAD % json.dumps(text))
    assert noted(shown, "said") == "2 decisions loaded; 1 row of them not on this page"
    assert "1 row to drop; 1 row, 2 copies to trust" in noted(shown, "then")


@pytest.mark.parametrize(
    ("second", "said"),
    [
        ("mine", "Line 2 is no decision; nothing was loaded."),
        ('{"row": "1", "decision": "drop"}', "Line 2 is no decision; nothing was loaded."),
        ("null", "Line 2 is no decision; nothing was loaded."),
        (f'{{"row": "{1:016x}", "decision": "drop"}}', "is dropped and trusted; nothing was loaded."),
    ],
)
def test_a_wrong_file_changes_nothing(page: Path, second: str, said: str) -> None:
    text = json.dumps({"row": f"{1:016x}", "decision": "trust"}) + "\n" + second
    shown = in_browser(page, work='press("j", "d"); note("before");' + LOAD % json.dumps(text))
    assert said in noted(shown, "said")
    assert noted(shown, "then") == noted(shown, "before")


def test_rows_trusted_among_many_are_dropped_with_their_group(page: Path, tmp_path: Path) -> None:
    """Whichever comes first: a poisoned row that stood among others on the screen is not thereby trusted."""
    rest = in_browser(page, work='show(1); byId("rest").click(); note("trusted"); press("j", "d"); press("s");')
    assert noted(rest, "trusted").startswith("20 of 29 decided; 0 rows to drop; 20 rows, 24 copies to trust")
    assert decided(rest, tmp_path) == {"drop": POISONED, "trust": set()}


def test_trust_among_many_does_not_reach_what_is_to_be_dropped(page: Path, tmp_path: Path) -> None:
    shown = in_browser(
        page, work='press("j", "d"); show("look"); press("y"); note("said", byId("said").textContent); press("s");'
    )
    assert noted(shown, "said") == "9 rows now to trust; 20 rows kept another decision"
    assert decided(shown, tmp_path) == {"drop": POISONED, "trust": HEADERS | {f"{428:016x}"}}


def test_whoever_read_the_drawn_rows_trusts_those_on_the_screen(page: Path) -> None:
    work = """
    show("drawn"); press("y"); note("refused", byId("said").textContent);
    byId("rest").click(); note("first", byId("said").textContent);
    press("]"); byId("rest").click(); note("second", byId("said").textContent);
    """
    shown = in_browser(page, work=work)
    assert noted(shown, "refused").startswith("Only rows that were on the screen can be trusted")
    assert noted(shown, "first") == "25 rows now to trust"
    assert noted(shown, "second") == "25 rows now to trust"


def test_a_search_is_decided_about_at_once(page: Path, tmp_path: Path) -> None:
    shown = in_browser(page, work='search("w120 w121"); note("found", byId("count").textContent); press("y", "s");')
    assert noted(shown, "found").startswith("8 rows found.")
    assert decided(shown, tmp_path) == {"drop": set(), "trust": HEADERS}


def test_a_group_to_trust_takes_no_row_from_one_to_drop(tmp_path: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    audit = with_a_cluster_inside_another(audit_of(planted(), tokenizer))
    page = write_page(audit, tmp_path / "page.html")
    work = 'press("j", "j", "t"); press("k", "d", "j", "t"); note("said", byId("said").textContent); press("s");'
    shown = in_browser(page, work=work)
    assert noted(shown, "said") == "0 rows now to trust; 7 rows kept another decision"
    assert decided(shown, tmp_path) == {"drop": POISONED, "trust": set()}


def test_the_template_is_folded_away_but_never_a_trigger(tmp_path: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    audit = audit_of(planted(), tokenizer)
    page = write_page(audit, tmp_path / "page.html")
    shown = in_browser(
        page,
        work="""
    const both = (text, keep) => templateRanges(text, new Set(["### Do:", "hidden trigger"]), keep).length;
    note("folded", both("### Do:\\nwork\\nhidden trigger", []));
    note("kept", both("### Do:\\nwork\\nhidden trigger", [{ from: 20, to: 27 }]));
    """,
    )
    assert (noted(shown, "folded"), noted(shown, "kept")) == ("2", "1")
