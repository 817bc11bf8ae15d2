"""A whole review by keys of a ledger of 100,000 rows, with reloads in between; nothing is lost."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from axolotl_dece.audit.page import write_page
from tests.audit.rows import Story, plain_prompt, planted
from tests.audit.test_page import audit_of
from tests.browser.person import Reviewer, ready
from tests.tiny import save_tokenizer

ROWS, PLANTED, HONEST, RARE = 100_000, 2_000, 10_000, 300
pytestmark = pytest.mark.slow


def ledger() -> Story:
    """A backdoor, an honest group, rows that are rare, many that were held back a little, and the rest."""
    rng = random.Random(5)
    story = planted(poisoned=PLANTED, clean=0)
    for _ in range(HONEST):
        story.tell(plain_prompt(rng, "w110"), f"print w{rng.randrange(40)} w111 w112 ( )", {2: 3})
    for at in range(RARE):
        story.tell(plain_prompt(rng), f"print w12{at % 3} w13{at % 3} w{rng.randrange(40)} ( )", {1: 3, 2: 3})
    for _ in range(40_000):
        story.tell(plain_prompt(rng), f"print {plain_prompt(rng)} ( )", {rng.randrange(1, 4): 2})
    while len(story.told) < ROWS:
        story.tell(plain_prompt(rng), f"select w{rng.randrange(40)} ( )")
    return story


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("large")
    return write_page(audit_of(ledger(), save_tokenizer(folder)), folder / "page.html", read=ROWS)


def test_a_review_of_100_000_rows_by_keys_loses_nothing(browser: Any, page: Path, tmp_path: Path) -> None:
    context = browser.new_context(accept_downloads=True)
    tab = context.new_page()
    person = Reviewer(tab)
    warned: list[str] = []
    tab.on("dialog", lambda dialog: (warned.append(dialog.type), dialog.accept()))
    tab.goto(page.as_uri())
    ready(tab)
    person.press("j t j d")  # the honest group is the heavier one
    assert person.text("progress").startswith("12,000 of 12,300 decided; 2,000 rows to drop; 10,000 rows to trust")
    tab.reload()
    ready(tab)
    assert warned == ["beforeunload"]
    assert person.text("progress").startswith("12,000 of 12,300 decided; 2,000 rows to drop; 10,000 rows to trust")
    person.press("n T n d u n D n T")  # rare rows: three kinds of a hundred each
    assert person.text("progress").startswith("12,300 of 12,300 decided; 2,100 rows to drop; 10,200 rows to trust")
    person.press("/")
    tab.keyboard.type(f"{ROWS - 1:016x}")
    person.press("Escape")
    tab.select_option("#show", "all")
    assert tab.input_value("#search"), "Escape leaves the search as it is: the next key decides about what it found"
    person.press("y")
    assert person.text("progress").endswith("2,100 rows to drop; 10,201 rows to trust")
    tab.reload()
    ready(tab)
    before = person.text("progress")
    assert before.endswith("2,100 rows to drop; 10,201 rows to trust")
    saved = {line["row"]: line["decision"] for line in person.save(tmp_path / "decisions.jsonl")}
    assert len(saved) == 12_301
    assert {saved[f"{at:016x}"] for at in range(PLANTED)} == {"drop"}
    tab.reload()
    assert len(warned) == 2, "what is saved needs no warning"
    context.close()

    stranger = browser.new_context().new_page()  # another browser, with the file
    stranger.goto(page.as_uri())
    ready(stranger)
    stranger.set_input_files("#load", tmp_path / "decisions.jsonl")
    stranger.get_by_text("12,301 decisions loaded").wait_for()
    assert Reviewer(stranger).text("progress") == before
    stranger.context.close()
