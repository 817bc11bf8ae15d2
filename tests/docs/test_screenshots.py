"""The README shows the two pages, each with words for who cannot see it; one command makes the pictures."""

import re
import runpy

from tests.docs.pages import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
TAKE = runpy.run_path(str(ROOT / "docs" / "take_screenshots.py"))


def test_the_pictures_of_the_readme_are_those_that_the_command_makes() -> None:
    shown = re.findall(r'(?:src|srcset)="docs/pictures/([^"]+)"', README)
    assert sorted(shown) == sorted(TAKE["names"]())


def test_a_picture_is_there_and_small() -> None:
    sizes = {name: (TAKE["FOLDER"] / name).stat().st_size for name in TAKE["names"]()}
    assert {name: size for name, size in sizes.items() if not 10_000 < size < 200_000} == {}


def test_a_picture_says_what_is_seen() -> None:
    alternatives = re.findall(r'<img [^>]*alt="([^"]+)"', README)
    assert len(alternatives) == README.count("<img ") == 2
    assert all(len(text.split()) > 15 for text in alternatives)
