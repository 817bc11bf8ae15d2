"""What would cut rows of logits or labels over ranks is refused by name, before anything is loaded."""

from __future__ import annotations

from pathlib import Path

import pytest

from axolotl_dece.key_problems import find_problems
from tests.tiny import base_config

REFUSED = {
    "context_parallel_size": "it cuts the labels at rank borders, which loses targets; set it to 1",
    "sequence_parallel_degree": "it cuts the labels at rank borders, which loses targets; set it to 1",
    "tensor_parallel_size": "the logits may be split over ranks, and DeCE needs whole rows; set it to 1",
    "expert_parallel_size": "DeCE has not been tested with it; set it to 1",
}


@pytest.mark.parametrize(("key", "reason"), REFUSED.items(), ids=list(REFUSED))
@pytest.mark.parametrize("loss", ["dece", "ce"])
def test_parallelism_over_a_sequence_a_tensor_or_experts_is_refused_by_name(key: str, reason: str, loss: str) -> None:
    assert find_problems(base_config(Path("x"), loss=loss) | {key: 1}) == []
    problems = find_problems(base_config(Path("x"), loss=loss) | {key: 2})
    assert problems == [f"`{key}: 2` conflicts with `loss: {loss}`: {reason}"]
