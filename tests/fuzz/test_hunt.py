"""Every target for a moment, and whatever failed once. `make fuzz` takes as long as it is given."""

from __future__ import annotations

import pytest

from tests.fuzz.hunt import attempt, hunt, kept_seeds
from tests.fuzz.targets import TARGETS


@pytest.mark.parametrize("name", TARGETS)
def test_damaged_input_is_read_or_refused(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert hunt(1.0, [name], first=1) == [], capsys.readouterr().err


@pytest.mark.parametrize(("name", "seed"), kept_seeds())
def test_what_failed_once_is_read_or_refused(name: str, seed: int) -> None:
    attempt(name, seed)


def test_a_reader_that_fails_and_one_that_hangs_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise KeyError("content")

    def hangs(*_: object) -> None:
        while True:
            pass

    monkeypatch.setattr("tests.fuzz.hunt.BOUND", 0.2)
    monkeypatch.setattr("tests.fuzz.targets.TARGETS", {"fails": fails, "hangs": hangs})
    assert {name for name, _ in hunt(0.5, first=1)} == {"fails", "hangs"}
