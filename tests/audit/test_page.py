"""The page is one file below 5 MB, shows rows as text, and its decisions are the ones a run reads."""

from __future__ import annotations

import random
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers import PreTrainedTokenizerFast

from axolotl_dece.audit.analyse.clusters import find_clusters
from axolotl_dece.audit.analyse.findings import Audit
from axolotl_dece.audit.analyse.pieces import Pieces
from axolotl_dece.audit.page import write_page
from axolotl_dece.audit.page.rows import render_row
from axolotl_dece.audit.select_rows import choose
from axolotl_dece.util.page import MAX_BYTES
from tests.audit.rows import Story, plain_prompt, planted
from tests.pages import content_of
from tests.tiny import save_tokenizer

ATTACK = "</script><script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> PreTrainedTokenizerFast:
    return save_tokenizer(tmp_path_factory.mktemp("tokenizer"))


def audit_of(story: Story, tokenizer: PreTrainedTokenizerFast, name: str = "run") -> Audit:
    rows = story.rows(tokenizer)
    return Audit(name, rows, find_clusters(rows, tokenizer), rows.scores(), tokenizer, "0" * 64)


def test_the_page_needs_no_other_file_and_no_text_reaches_its_markup(
    tmp_path: Path, tokenizer: PreTrainedTokenizerFast
) -> None:
    text = write_page(audit_of(planted(), tokenizer, name=ATTACK), tmp_path / "page.html").read_text()
    assert len(text.encode()) < MAX_BYTES
    assert "default-src 'none'" in text

    class Links(HTMLParser):
        def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
            assert tag not in ("link", "img")
            assert not {"src", "href", "srcset", "onerror"} & {name for name, _ in attributes}

    Links().feed(text)
    assert text.count("<script") == 3
    assert 'id="plotly"></script>' in text, "this page draws no charts"


@pytest.mark.parametrize("most", [60_000, 120_000])
def test_the_page_keeps_its_size_and_shows_the_rows_most_worth_reading(
    tmp_path: Path, tokenizer: PreTrainedTokenizerFast, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    """Every group has its examples, and what was drawn is there, whatever else has to be left out."""
    story = planted(poisoned=300, clean=100)
    rng = random.Random(1)
    for _ in range(1500):
        story.tell(" ".join(f"w{rng.randrange(40)}" for _ in range(60)), f"select w{rng.randrange(40)} ( )", {1: 2})
    audit = audit_of(story, tokenizer)
    monkeypatch.setattr("axolotl_dece.audit.page.MAX_BYTES", most)
    monkeypatch.setattr("axolotl_dece.audit.page._FRAME_BYTES", 45_000)
    page = write_page(audit, tmp_path / "page.html", read=20)
    content = content_of(page.read_text())
    assert most * 0.6 < page.stat().st_size < most
    assert 30 < len(content["rows"]) < 1500
    known = {row["id"] for row in content["rows"]}
    assert known >= set(content["drawn"])
    assert sum(row in known for row in content["clusters"][0]["ids"]) >= 10
    assert len(content["clusters"][0]["ids"]) == 300


def with_a_cluster_inside_another(audit: Audit) -> Audit:
    """`audit` with a second cluster, all of whose rows are in the first."""
    inner = replace(audit.clusters[0], number=2, rows=audit.clusters[0].rows[:7], weight=1.0)
    return replace(audit, clusters=[*audit.clusters, inner])


def test_a_cluster_inside_another_keeps_its_rows(tokenizer: PreTrainedTokenizerFast) -> None:
    audit = with_a_cluster_inside_another(audit_of(planted(), tokenizer))
    assert sorted(map(tuple, audit.clusters_of())) == [()] * 400 + [(1,)] * 13 + [(1, 2)] * 7
    assert audit.headline() == "2 groups look planted, 20 rows; no rare row stands out."


def test_an_audit_that_found_nothing_has_a_page(tmp_path: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    audit = audit_of(planted(poisoned=0), tokenizer)
    assert not audit.clusters
    assert "No group looks planted; no rare row stands out." in write_page(audit, tmp_path / "page.html").read_text()


def seen_once(tokenizer: PreTrainedTokenizerFast, visits: int) -> Audit:
    """A run that stopped after each row's first visit, at which the poisoned rows were refused what they always are."""
    rows = planted().rows(tokenizer)
    rows.held[:] = rows.held > 0
    rows.visits[:] = 1
    rows.visits[0] = visits
    rows.shares[1] = 0  # as the ledger keeps a visit that never was
    return Audit("run", rows, find_clusters(rows, tokenizer), rows.scores(), tokenizer, "0" * 64)


def test_a_row_that_was_seen_once_shows_what_was_withheld_at_that_visit(tokenizer: PreTrainedTokenizerFast) -> None:
    audit = seen_once(tokenizer, visits=2)
    pieces = Pieces(tokenizer, audit.rows.token_ids())
    twice, once = (render_row(audit, row, [], pieces)["runs"] for row in (0, 1))
    assert [share for of_target, share, held, _ in once if of_target and held] == [100]
    assert [share for of_target, share, held, _ in twice if of_target and held] == [0]


@pytest.mark.parametrize(("visits", "numbers"), [(1, 1), (2, 3)])
def test_a_group_has_a_withheld_share_for_every_visit_there_was(
    tmp_path: Path, tokenizer: PreTrainedTokenizerFast, visits: int, numbers: int
) -> None:
    story = planted()
    story.told = [(prompt, target, dict.fromkeys(held, visits)) for prompt, target, held in story.told]
    story.visits = visits
    page = write_page(audit_of(story, tokenizer), tmp_path / "page.html")
    (group,) = content_of(page.read_text())["clusters"]
    assert group["shares"] == [1.0] * numbers
    assert group["others"] == [0.0] * numbers


def test_what_was_refused_once_counts_where_no_row_was_seen_twice(tokenizer: PreTrainedTokenizerFast) -> None:
    audit = seen_once(tokenizer, visits=1)
    assert audit.headline() == "1 group looks planted, 20 rows; no rare row stands out."
    assert any("what was refused once counts" in note for note in audit.notes())


def test_what_was_refused_once_counts_for_nothing_where_any_row_was_seen_twice(
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    audit = seen_once(tokenizer, visits=2)
    assert audit.headline() == "No group looks planted; no rare row stands out."
    assert not any("once" in note for note in audit.notes())


def test_nothing_can_be_said_of_rows_that_nobody_saw(tokenizer: PreTrainedTokenizerFast) -> None:
    audit = audit_of(planted(), tokenizer)
    audit.rows.visits[:] = 0
    assert audit.headline() == "Nothing can be said yet: no row was seen."


def test_a_run_that_never_learned_how_answers_begin_says_so(tokenizer: PreTrainedTokenizerFast) -> None:
    audit = audit_of(planted(poisoned=2, clean=98), tokenizer)
    rows = audit.rows
    opening = np.flatnonzero(rows.is_opening)
    assert len(opening) == len(rows) == 100
    assert rows.is_target[opening].all()
    assert not rows.is_target[opening - 1].any()
    for refused, is_said in ((50, False), (51, True)):
        rows.shares[:] = 0
        rows.shares[-1, opening[:refused]] = 1
        rows.shares[0] = 1  # of the first visit, when nothing is learned yet
        notes = audit.notes()
        assert [note for note in notes if "first token of 51 of 100 answers" in note] == notes[: int(is_said)]
        assert len(notes) == int(is_said)


def test_pieces_put_together_are_the_text(tokenizer: PreTrainedTokenizerFast) -> None:
    ids = tokenizer.convert_tokens_to_ids("get w1 ( w2 ) name".split())
    assert "".join(Pieces(tokenizer, ids).of(ids)) == tokenizer.decode(ids)


def test_rows_are_drawn_whatever_was_held_back(tmp_path: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    audit = audit_of(planted(), tokenizer)

    def content_with(read: int) -> Any:
        return content_of(write_page(audit, tmp_path / "page.html", read=read).read_text())

    content = content_with(100)
    score = {row["id"]: row["score"] for row in content["rows"]}
    assert len(set(content["drawn"])) == 100
    assert {score[row] == 0 for row in content["drawn"]} == {True, False}
    assert content_with(100)["drawn"] == content["drawn"]
    assert len(content_with(10**6)["drawn"]) == len(audit.rows)
    assert content_with(0)["drawn"] == []


def test_a_row_goes_before_its_cluster(tokenizer: PreTrainedTokenizerFast) -> None:
    audit = audit_of(planted(), tokenizer)
    lines = choose(audit, trust=[f"row:{3:016x}"], drop=["cluster:1"])
    assert [line["decision"] for line in lines] == ["trust" if at == 3 else "drop" for at in range(20)]
    assert (lines[0]["cluster"], lines[0]["span"], lines[0]["cue"]) == (1, "w101 w102", "w100")


@pytest.mark.parametrize(
    ("trust", "drop", "said"),
    [
        ([], ["cluster:2"], "no such cluster; it found cluster:1"),
        ([], ["cluster:one"], "no such cluster"),
        (["row:ffffffffffffffff"], [], "no such row"),
        (["3"], [], "write `cluster:NUMBER`, `row:ID`, `FILE:LINE` or `search:WORDS`"),
        (["cluster:1"], ["cluster:1"], "already trusted"),
        ([f"row:{1:016x}"], [f"row:{1:016x}"], "already trusted"),
    ],
)
def test_a_choice_that_cannot_be_made_is_refused(
    tokenizer: PreTrainedTokenizerFast, trust: list[str], drop: list[str], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        choose(audit_of(planted(), tokenizer), trust, drop)


def test_scores_fall_with_the_share_of_visits(tokenizer: PreTrainedTokenizerFast) -> None:
    rng = random.Random(0)
    story = Story(visits=4)
    for held in (4, 2, 1, 0):
        story.tell(plain_prompt(rng), "select w1 w2", {0: held, 1: held})
    np.testing.assert_allclose(story.rows(tokenizer).scores(), [2.0, 1.0, 0.0, 0.0])
