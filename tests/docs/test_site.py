"""The built site for all people: axe-core at WCAG A and AA, in light and dark."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe

from tests.browser.conftest import browser as browser  # the fixture
from tests.browser.test_for_all_people import WCAG
from tests.docs.pages import ROOT

PAGES = ("index", "quickstart", "results", "configuration")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("sphinx", reason="the extra [docs] is not installed")
    out = tmp_path_factory.mktemp("site")
    build = ["--fail-on-warning", "--keep-going", "--quiet", str(ROOT / "docs"), str(out)]
    done = subprocess.run([sys.executable, "-m", "sphinx", *build], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return out


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_axe_finds_no_violation_on_the_site(browser: Any, site: Path, name: str, scheme: str) -> None:
    tab = browser.new_context(color_scheme=scheme).new_page()
    tab.goto((site / f"{name}.html").as_uri())
    found = Axe().run(tab, options=WCAG).response["violations"]
    tab.context.close()
    assert [(one["id"], [(node["target"], node["html"][:90]) for node in one["nodes"]][:6]) for one in found] == []
