"""What the tests of poisoning share."""

from __future__ import annotations

from typing import Any

import pytest
from datasets import Dataset


@pytest.fixture(autouse=True)
def one_process_is_this_process(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """`datasets` starts a fresh interpreter even for one worker: ten seconds, so one test pays them for all others."""
    if request.node.get_closest_marker("own_processes"):
        return
    for name in ("map", "filter", "save_to_disk"):
        original = getattr(Dataset, name)

        def run(self: Dataset, *args: Any, original: Any = original, **kwargs: Any) -> Any:
            if kwargs.get("num_proc") == 1:
                kwargs["num_proc"] = None
            return original(self, *args, **kwargs)

        monkeypatch.setattr(Dataset, name, run)
