"""Every page by axe-core at WCAG A and AA, light and dark, and at a phone's width without scrolling sideways."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe

from axolotl_dece.audit.page import write_page
from tests.audit.rows import planted
from tests.audit.test_page import audit_of
from tests.browser.person import opened
from tests.evaluation.test_page import save_two_runs
from tests.experiment.test_page import save_page
from tests.tiny import save_tokenizer

PAGES = ("audit", "compare", "experiment")
WCAG = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"], "resultTypes": ["violations"]}


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    for name in PAGES:
        (folder / name).mkdir()
    audit = write_page(audit_of(planted(), save_tokenizer(folder)), folder / "audit.html")
    return {
        "audit": audit, "compare": save_two_runs(folder / "compare"), "experiment": save_page(folder / "experiment")
    }  # fmt: skip


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_axe_finds_no_violation(browser: Any, pages: dict[str, Path], name: str, scheme: str) -> None:
    tab = opened(browser, pages[name], color_scheme=scheme)
    for summary in tab.locator("figure summary").all():
        summary.click()
    found = Axe().run(tab, options=WCAG).response["violations"]
    tab.context.close()
    assert [(one["id"], [node["target"] for node in one["nodes"]][:4]) for one in found] == []


@pytest.mark.parametrize("name", PAGES)
def test_a_phone_does_not_scroll_sideways(browser: Any, pages: dict[str, Path], name: str) -> None:
    tab = opened(browser, pages[name], viewport={"width": 390, "height": 844}, device_scale_factor=2, is_mobile=True)
    wide = tab.evaluate("document.documentElement.scrollWidth")
    tab.context.close()
    assert wide <= 390


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["compare", "experiment"])
def test_every_chart_has_a_name_for_who_cannot_see_it(
    browser: Any, pages: dict[str, Path], name: str, scheme: str
) -> None:
    tab = opened(browser, pages[name], color_scheme=scheme)
    named = tab.eval_on_selector_all(".js-plotly-plot", "all => all.map(one => [one.role, one.ariaLabel])")
    tab.context.close()
    assert named
    assert all(role == "img" and label for role, label in named)
