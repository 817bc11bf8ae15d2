"""Which answers never return, on answers written by hand."""

from __future__ import annotations

import pytest

from tests.benchmarks.endless_loops import never_returns


@pytest.mark.parametrize(
    ("code", "endless"),
    [
        ("def f(a):\n    while True: VAR = 0\n    return a", True),
        ("def f(a):\n\t while True :\n\t \t print ( a )", True),
        ("def f(a):\n    while True:\n        return a", False),
        ("def f(a):\n    while True:\n        if a:\n            break", False),
        ("def f(a):\n    while True:\n        while True:\n            g(a)\n        return a", True),
        ("def f(a):\n    while False: TMP = 0\n    while a:\n        g(a)", False),
        ("def f(a):\n    while True", None),
    ],
)
def test_a_loop_that_nothing_leaves_never_returns(code: str, endless: bool | None) -> None:
    assert never_returns(code) is endless
