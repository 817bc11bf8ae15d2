"""The page of keys is what the keys say."""

import runpy
from pathlib import Path

DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_the_configuration_page_is_generated_from_the_keys() -> None:
    page = runpy.run_path(str(DOCS / "make_configuration.py"))["build"]()
    assert (DOCS / "configuration.md").read_text(encoding="utf-8") == page, "run `python docs/make_configuration.py`"
