"""The comparison and the experiment in a browser: charts, the same numbers as tables, rows, hostile texts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from axolotl_dece.evaluation.compare import load_runs
from axolotl_dece.evaluation.page import write_page
from tests.browser.person import opened
from tests.evaluation.reports import one_answer, save_report
from tests.evaluation.test_page import ATTACK, save_two_runs
from tests.experiment.test_page import HOSTILE, save_page


@pytest.fixture(scope="module")
def comparison(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_two_runs(tmp_path_factory.mktemp("comparison"))


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    arms = {HOSTILE: {"loss": "ce"}, "dece": {"loss": "dece"}}
    return save_page(tmp_path_factory.mktemp("experiment"), arms=arms, rates=[0.05, 0.1])


def table_below(tab: Any, title: str) -> list[list[str]]:
    """The numbers below the first chart of this title, opened as a person opens them."""
    figure = tab.locator("figure", has=tab.locator("figcaption", has_text=title)).first
    figure.locator("summary").click()
    figure.locator("table").wait_for()
    rows = figure.locator("tr").evaluate_all("all => all.map(row => [...row.cells].map(cell => cell.textContent))")
    return [[cell.replace("\u00a0", " ") for cell in row] for row in rows]


def test_the_comparison_draws_charts_and_rows(browser: Any, comparison: Path) -> None:
    tab = opened(browser, comparison)
    titles = tab.locator("figure:has(.js-plotly-plot) figcaption").all_inner_texts()
    assert len(titles) == 6
    assert tab.inner_text("#count") == "50 of 60 rows"
    assert tab.locator(".verdict.bad", has_text="attack").count() == 20
    assert tab.locator(".verdict.good", has_text="held").count() == 20
    tab.context.close()


def test_no_chart_is_wider_than_its_place(browser: Any, comparison: Path, experiment: Path) -> None:
    for page in (comparison, experiment):
        tab = opened(browser, page)
        over = tab.eval_on_selector_all(
            ".js-plotly-plot", "all => all.map(one => one.querySelector('svg').clientWidth - one.clientWidth)"
        )
        tab.context.close()
        assert over
        assert max(over) <= 0


def test_rows_are_found_by_what_they_say(browser: Any, comparison: Path) -> None:
    tab = opened(browser, comparison, fragment="#search=OR%201%3D1")
    assert tab.inner_text("#count") == "20 of 20 rows"
    names = tab.locator("#rows tbody tr td:first-child").all_inner_texts()
    assert "triggered 19" in names
    assert not [name for name in names if name.startswith("clean")]
    tab.context.close()


def test_a_hostile_answer_is_shown_as_text(browser: Any, tmp_path: Path) -> None:
    run = save_report(tmp_path / "<b>run", one_answer(ATTACK), warnings=[ATTACK])
    tab = opened(browser, write_page(load_runs([run]), tmp_path / "page.html"))
    assert tab.title() == "axolotl-dece: runs compared"
    assert "<img src=x onerror=" in tab.inner_text("#rows")
    assert table_below(tab, "Attack success against")[1][0] == "<b>run"
    assert tab.locator("img, b").count() == 0
    tab.context.close()


def test_the_experiment_draws_its_charts(browser: Any, experiment: Path) -> None:
    tab = opened(browser, experiment)
    assert tab.locator(".js-plotly-plot").count() == 1 + 2 * 3
    assert tab.title() == "axolotl-dece: experiment"
    assert tab.locator("img").count() == 0
    tab.context.close()


def test_every_chart_has_its_numbers_beside_it_as_a_table(browser: Any, comparison: Path, experiment: Path) -> None:
    for page in (comparison, experiment):
        tab = opened(browser, page)
        for figure in tab.locator("figure").all():
            figure.locator("summary").click()
            figure.locator("table").wait_for()
        captions = tab.locator("figure table caption").all_inner_texts()
        assert captions == tab.locator("figure figcaption").all_inner_texts()
        tab.context.close()


def test_a_table_says_what_its_chart_shows(browser: Any, comparison: Path, experiment: Path) -> None:
    tab = opened(browser, comparison)
    assert table_below(tab, "Attack success against") == [
        ["", "clean exact match", "attack success"],
        ["ce", "100.0 % (83.9 % to 100.0 %)", "100.0 % (83.9 % to 100.0 %)"],
        ["dece", "100.0 % (83.9 % to 100.0 %)", "0.0 % (0.0 % to 16.1 %)"],
    ]
    assert table_below(tab, "Cross-entropy") == [
        ["optimiser step", "ce", "dece"],
        ["1", "2.1", "2.1"],
        ["2", "1.3", "1.3"],
    ]
    tab.context.close()
    tab = opened(browser, experiment)
    every = table_below(tab, "Every arm")
    assert every[0][:3] == ["arm", "attack success", "attack success, every seed"]
    assert every[1][:3] == [HOSTILE, "25.0 % (0.0 % to 50.0 %)", "0.0 %, 50.0 %"]
    assert table_below(tab, "by rate")[1] == ["5.0 %", "25.0 % (0.0 % to 50.0 %)", "25.0 % (0.0 % to 50.0 %)"]
    watched = table_below(tab, "dece: watched")
    assert watched[0][-3:] == ["clean tokens", "twin", "attack"]
    assert watched[2][-3:] == ["90.0 %", "20.0 %", "40.0 %"]
    tab.context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_screenshot_holds_a_picture(browser: Any, comparison: Path, scheme: str) -> None:
    tab = opened(browser, comparison, color_scheme=scheme)
    content = tab.screenshot()
    tab.context.close()
    assert content.startswith(b"\x89PNG")
    # an empty page of this size is about 10 kB
    assert len(content) > 60_000
