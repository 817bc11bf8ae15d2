"""The page is one file below 5 MB, shows what a model wrote as text, and works in a browser."""

import random
from html.parser import HTMLParser
from pathlib import Path

import plotly.graph_objects as go
import pytest

from axolotl_dece.evaluation.compare import load_runs
from axolotl_dece.evaluation.page import MAX_BYTES, write_page
from axolotl_dece.evaluation.page.charts import charts
from tests.evaluation.reports import fallen, one_answer, save_report
from tests.evaluation.scripted import answer, answers
from tests.pages import content_of

ATTACK = "</script></pre><script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\"> or 1=1"


def save_two_runs(folder: Path) -> Path:
    runs = [save_report(folder / "ce", fallen(20), loss="ce"), save_report(folder / "dece", fallen(0))]
    return write_page(load_runs(runs), folder / "page.html")


def test_the_page_needs_no_other_file(tmp_path: Path) -> None:
    text = save_two_runs(tmp_path).read_text()
    assert len(text.encode()) < MAX_BYTES

    class Links(HTMLParser):
        def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
            assert tag != "link"
            assert not {"src", "href", "srcset"} & {name for name, _ in attributes}

    Links().feed(text)
    assert "default-src 'none'" in text


def test_rows_are_left_out_before_the_page_grows_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    noise = answers([random.Random(number).randbytes(500).hex() for number in range(400)])
    runs = load_runs([save_report(tmp_path / "big", {"clean": noise, "triggered": noise})])
    whole = write_page(runs, tmp_path / "page.html").stat().st_size
    monkeypatch.setattr("axolotl_dece.evaluation.page.MAX_BYTES", whole - 100_000)
    page = write_page(runs, tmp_path / "page.html")
    assert page.stat().st_size < whole - 100_000
    assert "the first 200 rows of each set are shown, to keep this page small" in page.read_text()


def test_what_a_model_wrote_does_not_reach_the_markup(tmp_path: Path) -> None:
    run = save_report(tmp_path / "<img src=x onerror=alert(1)>", one_answer(ATTACK), warnings=[ATTACK])
    text = write_page(load_runs([run]), tmp_path / "page.html").read_text()
    assert "onerror=alert" not in text.replace("&lt;img src=x onerror=alert(1)&gt;", "")
    assert "<script>document.title" not in text
    assert text.count("<script") == 3


def test_charts_are_figures_plotly_knows(tmp_path: Path) -> None:
    runs = load_runs([save_report(tmp_path / "ce", fallen(20)), save_report(tmp_path / "dece", fallen(3))])
    found = charts(runs)
    assert [chart["layout"]["yaxis"]["title"]["text"] for chart in found] == [
        "attack success", "share", "share", "share", "nats per token", "alpha",
    ]  # fmt: skip
    for chart in found:
        go.Figure(data=chart["data"], layout=chart["layout"])
    point = found[0]["data"][1]
    assert (point["x"], point["y"]) == ([1.0], [0.15])
    asr = runs[1].report["asr"]
    assert point["error_y"]["array"][0] == pytest.approx(asr["high"] - 0.15)
    assert point["error_y"]["arrayminus"][0] == pytest.approx(0.15 - asr["low"])


def test_a_chart_without_data_is_left_out(tmp_path: Path) -> None:
    (only,) = charts(load_runs([save_report(tmp_path / "a", fallen(1), curves=[])]))
    assert only["title"] == "Attack success against clean quality"


def test_an_answer_stands_only_under_the_prompt_that_was_asked(tmp_path: Path) -> None:
    mine = [answer("mine", index=0, prompt="question A"), answer("alike", index=1)]
    theirs = [answer("theirs", index=0, prompt="question B"), answer("too", index=1)]
    runs = [save_report(tmp_path / name, {"clean": rows, "triggered": rows}) for name, rows in
            (("a", mine), ("b", theirs))]  # fmt: skip
    rows = content_of(write_page(load_runs(runs), tmp_path / "page.html").read_text())["rows"]
    assert [(row["prompt"], row["outputs"]) for row in rows if row["set"] == "clean"] == [
        ("question A", ["mine", None]),
        ("question B", [None, "theirs"]),
        ("get users", ["alike", "too"]),
    ]
    assert rows[0]["verdicts"] == ["held", "not asked"]


def test_the_page_opens_with_the_answer(tmp_path: Path) -> None:
    text = save_two_runs(tmp_path).read_text()
    assert "<h1>The backdoor works in 0 of 20 answers with DeCE, in 20 of 20 without; clean quality is the same" in text
