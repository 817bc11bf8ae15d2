"""docs/compatibility.md says what the tests say."""

from tests.compatibility import PAGE, render


def test_the_page_is_as_new_as_the_tests() -> None:
    assert PAGE.read_text(encoding="utf-8") == render(), "run `python -m tests.compatibility`"
