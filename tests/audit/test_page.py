"""The page is one file below 5 MB, shows rows as text, and its decisions are the ones a run reads."""

from __future__ import annotations

import json
import random
import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pytest
from transformers import PreTrainedTokenizerFast

from axolotl_dece.audit.analyse.clusters import find_clusters
from axolotl_dece.audit.analyse.findings import Audit, pieces
from axolotl_dece.audit.page import write_page
from axolotl_dece.audit.page.charts import charts
from axolotl_dece.audit.select_rows import choose
from axolotl_dece.util.page import MAX_BYTES
from tests.audit.rows import Story, plain_prompt, planted
from tests.pages import content_of
from tests.tiny import save_tokenizer

ATTACK = "</script><script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
needs_browser = pytest.mark.skipif(BROWSER is None, reason="no Chromium on PATH (Debian: apt-get install chromium)")


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> PreTrainedTokenizerFast:
    return save_tokenizer(tmp_path_factory.mktemp("tokenizer"))


def audit_of(story: Story, tokenizer: PreTrainedTokenizerFast, name: str = "run") -> Audit:
    rows = story.rows(tokenizer)
    return Audit(name, rows, find_clusters(rows, tokenizer), rows.scores(), tokenizer)


def in_browser(page: Path, *options: str) -> str:
    """The page's elements after its scripts have run."""
    command = [
        BROWSER, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={page.parent / 'profile'}",
        "--virtual-time-budget=30000", "--window-size=1400,1600", *options, page.resolve().as_uri(),
    ]  # fmt: skip
    return subprocess.run(command, capture_output=True, text=True, timeout=180, check=True).stdout


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


def test_rows_are_left_out_before_the_page_grows_too_large(
    tmp_path: Path, tokenizer: PreTrainedTokenizerFast, monkeypatch: pytest.MonkeyPatch
) -> None:
    audit = audit_of(planted(poisoned=300, clean=100), tokenizer)
    whole = write_page(audit, tmp_path / "page.html").stat().st_size
    monkeypatch.setattr("axolotl_dece.audit.page.MAX_BYTES", whole - 2000)
    page = write_page(audit, tmp_path / "page.html")
    assert page.stat().st_size < whole - 2000
    assert re.search(r"The \d+ rows with the highest scores are shown", page.read_text())


def test_charts_are_figures_plotly_knows(tokenizer: PreTrainedTokenizerFast) -> None:
    found = charts(audit_of(planted(), tokenizer))
    assert set(found) == {"scores", "moves"}
    for figure in found.values():
        go.Figure(**figure)
    assert sum(found["scores"]["data"][1]["y"]) == 20
    assert found["moves"]["data"][0]["y"] == [1.0, 1.0, 1.0]
    assert found["moves"]["data"][-1]["y"] == [0.0, 0.0, 0.0]


def with_a_cluster_inside_another(audit: Audit) -> Audit:
    """`audit` with a second cluster, all of whose rows are in the first."""
    inner = replace(audit.clusters[0], number=2, rows=audit.clusters[0].rows[:7], weight=1.0)
    return replace(audit, clusters=[*audit.clusters, inner])


def test_a_cluster_inside_another_keeps_its_rows_and_its_line(tokenizer: PreTrainedTokenizerFast) -> None:
    audit = with_a_cluster_inside_another(audit_of(planted(), tokenizer))
    numbers = audit.clusters_of()
    assert sorted(map(tuple, numbers)) == [()] * 400 + [(1,)] * 13 + [(1, 2)] * 7
    assert [line["y"] for line in charts(audit)["moves"]["data"][:2]] == [[1.0, 1.0, 1.0]] * 2
    assert sum(map(sum, (bars["y"] for bars in charts(audit)["scores"]["data"]))) == 20


def test_an_audit_that_found_nothing_has_a_page(tmp_path: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    audit = audit_of(planted(poisoned=0), tokenizer)
    assert not audit.clusters
    assert "Clusters: 0" in write_page(audit, tmp_path / "page.html").read_text()


def test_a_run_of_one_epoch_is_told_that_it_needs_two(tokenizer: PreTrainedTokenizerFast) -> None:
    audit = audit_of(planted(), tokenizer)
    audit.rows.visits[:] = 1
    assert any("two epochs" in note for note in audit.notes())


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
    assert "".join(pieces(ids, tokenizer)) == tokenizer.decode(ids)


@needs_browser
@pytest.mark.slow
def test_a_browser_shows_clusters_rows_and_charts(tmp_path: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    page = write_page(audit_of(planted(), tokenizer, name=ATTACK), tmp_path / "page.html")
    text = page.read_text()
    # a person at work: drops the cluster, but trusts one of its rows
    click = """
    <script>addEventListener("load", () => { const wait = setInterval(() => {
      if (document.body.dataset.ready !== "yes") return; clearInterval(wait);
      const pick = (select, value) => { select.value = value; select.dispatchEvent(new Event("change")); };
      pick(document.querySelector("#clusters select"), "drop");
      pick(document.querySelector("#rows tbody select"), "trust");
      URL.createObjectURL = (blob) => { blob.text().then((t) => document.body.append(
        Object.assign(document.createElement("pre"), { id: "saved", textContent: t }))); return "blob:x"; };
      document.getElementById("save").click();
    }, 50); });</script></body>"""
    page.write_text(text.replace("</body>", click))
    shown = in_browser(page, "--dump-dom")
    assert "<title>axolotl-dece: what the loss held back</title>" in shown
    assert shown.count('class="held"') >= 20
    assert len(re.findall('class="[^"]*js-plotly-plot"', shown)) == 2
    assert "19 rows to drop, 1 to trust" in shown
    saved = re.search(r'<pre id="saved">(.*?)</pre>', shown, re.DOTALL)
    assert saved
    lines = [json.loads(line) for line in saved[1].strip().splitlines()]
    assert sorted(line["decision"] for line in lines) == ["drop"] * 19 + ["trust"]
    assert {line["row"] for line in lines} == {f"{at:016x}" for at in range(20)}


@needs_browser
@pytest.mark.slow
def test_whoever_read_the_drawn_rows_trusts_those_shown_and_undecided(
    tmp_path: Path, tokenizer: PreTrainedTokenizerFast
) -> None:
    """Not the rows below the fold, and not those of a cluster that is to be dropped."""
    audit = audit_of(planted(), tokenizer)
    page = write_page(audit, tmp_path / "page.html", read=70)
    drawn = set(content_of(page.read_text())["drawn"])
    assert len(drawn) == 70
    poisoned = {f"{at:016x}" for at in range(20)}
    assert 0 < len(drawn & poisoned) < 20, "or the test shows nothing"
    click = """
    <script>addEventListener("load", () => { const wait = setInterval(() => {
      if (document.body.dataset.ready !== "yes") return; clearInterval(wait);
      const pick = (select, value, type) => {
        select.value = value; select.dispatchEvent(new Event(type, { bubbles: true })); };
      const said = (id) => document.getElementById(id).textContent;
      const note = (id, textContent) => document.body.append(
        Object.assign(document.createElement("pre"), { id, textContent }));
      const rest = document.getElementById("rest");
      pick(document.querySelector("#clusters select"), "drop", "change");
      note("before", rest.hidden);
      pick(document.getElementById("cluster"), "drawn", "input");
      rest.click();
      note("first", said("decided"));
      document.getElementById("more").click();
      pick([...document.querySelectorAll("#rows tbody select")].at(-1), "drop", "change");
      rest.click();
      note("after", said("decided") + "; " + said("count"));
    }, 50); });</script></body>"""
    page.write_text(page.read_text().replace("</body>", click))
    shown = in_browser(page, "--dump-dom")
    honest = len(drawn - poisoned)
    assert '<pre id="before">true</pre>' in shown
    assert f'<pre id="first">20 rows to drop, {50 - len(drawn & poisoned)} to trust</pre>' in shown
    assert f'<pre id="after">21 rows to drop, {honest - 1} to trust; 70 of 70 rows</pre>' in shown


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
        (["3"], [], "write `cluster:NUMBER` or `row:ID`"),
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


@needs_browser
@pytest.mark.slow
def test_a_browser_shows_a_cluster_inside_another_and_refuses_to_save_a_contradiction(
    tmp_path: Path, tokenizer: PreTrainedTokenizerFast
) -> None:
    audit = with_a_cluster_inside_another(audit_of(planted(), tokenizer))
    page = write_page(audit, tmp_path / "page.html")
    click = """
    <script>addEventListener("load", () => { const wait = setInterval(() => {
      if (document.body.dataset.ready !== "yes") return; clearInterval(wait);
      const [outer, inner] = document.querySelectorAll("#clusters select");
      const pick = (select, value) => { select.value = value; select.dispatchEvent(new Event("change")); };
      const said = () => document.getElementById("decided").textContent;
      const note = (id) => document.body.append(Object.assign(document.createElement("pre"), {
        id, textContent: `${said()}; ${document.getElementById("save").disabled}` }));
      pick(outer, "drop"); pick(inner, "trust"); note("torn");
      document.querySelectorAll("#clusters button")[1].click();
      const rows = [...document.querySelectorAll("#rows tbody select")];
      rows.forEach((select) => pick(select, "trust")); note("mended");
    }, 50); });</script></body>"""
    page.write_text(page.read_text().replace("</body>", click))
    shown = in_browser(page, "--dump-dom")
    assert '<pre id="torn">7 rows are in a cluster to drop and in one to trust' in shown
    assert "or undo one cluster; true</pre>" in shown
    assert "7 of 7 rows" in shown
    assert '<pre id="mended">13 rows to drop, 7 to trust; false</pre>' in shown
