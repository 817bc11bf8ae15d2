"""What a person does with an opened page: look, press keys, search, save, load."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from axolotl_dece.audit.decisions import read_decisions


def opened(browser: Any, page: Path, fragment: str = "", **how: Any) -> Any:
    """A tab of its own, as wide as a desk unless `how` says otherwise, when the page's scripts have run."""
    tab = browser.new_context(**{"viewport": {"width": 1400, "height": 1600}} | how).new_page()
    tab.goto(page.as_uri() + fragment)
    ready(tab)
    return tab


def ready(tab: Any) -> None:
    """Wait until the page has drawn everything."""
    tab.wait_for_selector("body[data-ready=yes]", timeout=60_000)


class Reviewer:
    """Somebody in front of the review page.

    Args:
        tab: Of a browser, with the page opened.
    """

    def __init__(self, tab: Any) -> None:
        self.tab = tab

    def press(self, keys: str) -> None:
        """Press keys one after the other, with blanks between their names."""
        for key in keys.split():
            self.tab.keyboard.press(key)

    def search(self, words: str) -> None:
        """Fill in the search and leave it, so that the next key is one of the page."""
        self.tab.fill("#search", words)
        self.tab.press("#search", "Escape")

    def text(self, name: str) -> str:
        """What the element of this id says: `progress`, `said`, `count`."""
        return str(self.tab.inner_text(f"#{name}"))

    def at(self, kind: str) -> str | None:
        """The `row` or `group` that has the focus."""
        found: str | None = self.tab.evaluate("kind => document.activeElement.dataset[kind] ?? null", kind)
        return found

    def leaving_warns(self) -> bool:
        """Whether the browser would ask before it closes the page."""
        leave = "() => !dispatchEvent(new Event('beforeunload', { cancelable: true }))"
        return bool(self.tab.evaluate(leave))

    def load(self, text: str) -> None:
        """Load a decisions file, and wait for what the page says of it."""
        self.tab.evaluate("() => { document.getElementById('said').textContent = ''; }")
        file = {"name": "decisions.jsonl", "mimeType": "application/json", "buffer": text.encode()}
        self.tab.set_input_files("#load", file)
        self.tab.wait_for_selector("#said:not(:empty)")

    def save(self, file: Path) -> list[dict[str, Any]]:
        """Press `s`: the lines of the file, which a run reads."""
        with self.tab.expect_download() as download:
            self.press("s")
        download.value.save_as(file)
        read_decisions(file)
        return [json.loads(line) for line in file.read_text().splitlines()]

    def decided(self, file: Path) -> dict[str, set[str]]:
        """Rows by decision, of what is saved."""
        lines = self.save(file)
        return {kind: {line["row"] for line in lines if line["decision"] == kind} for kind in ("drop", "trust")}
