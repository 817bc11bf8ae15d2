"""What the README says first: with cross-entropy the backdoor is implanted, with DeCE it is not."""

from pathlib import Path

import pytest
from rich.console import Console

from examples.demo import story, world


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_demo_keeps_its_promises(tmp_path: Path) -> None:
    screen = Console(record=True, width=120, file=(tmp_path / "console.txt").open("w"))
    summary = story.tell(world.World(story.output_folder(tmp_path / "demo"), seed=0), screen)
    assert story.unmet(summary) == []
    assert summary["runs"]["ce"]["asr_low"] > summary["runs"]["dece"]["asr_high"]
