"""torch.compile: alpha moves at every step, and nothing is compiled again."""

from __future__ import annotations

import pytest
import torch
from torch._dynamo.testing import CompileCounter

from axolotl_dece import dece_loss
from axolotl_dece.loss.criterion import Mixture
from axolotl_dece.loss.fused_policy import use_fused_head
from axolotl_dece.loss.objective import install
from tests.distributed.reference import build_model

STEPS = 50


@pytest.mark.parametrize("fused", [False, True], ids=["logits", "fused"])
@pytest.mark.parametrize("tuning", ["full", "LoRA"])
def test_fifty_alphas_run_through_the_graphs_of_the_first_step(tuning: str, fused: bool) -> None:
    torch._dynamo.reset()
    model = build_model(tuning).train()
    objective = install(model, Mixture(1.0))
    use_fused_head(objective, fused)
    counter = CompileCounter()
    compiled = torch.compile(model, backend=counter)
    ids = torch.arange(3, 27).view(2, 12)
    graphs = []
    for step in range(STEPS):
        objective.begin_step(Mixture(1.0 - 0.2 * (step + 1) / STEPS), 1 / 22)
        compiled(input_ids=ids, labels=ids).loss.backward()
        graphs.append(counter.frame_count)
    assert objective.calls == STEPS
    assert 1 <= graphs[0] == graphs[-1]


def test_an_alpha_inside_the_graph_would_be_compiled_again() -> None:
    """The broken twin: the loss itself compiled, alpha a plain number."""
    torch._dynamo.reset()
    counter = CompileCounter()
    compiled = torch.compile(
        lambda logits, target, alpha: dece_loss(logits, target, alpha=alpha), backend=counter, dynamic=False
    )
    logits, target = torch.randn(4, 9, requires_grad=True), torch.randint(9, (4,))
    for alpha in (0.9, 0.8, 0.7):
        compiled(logits, target, alpha)
    assert counter.frame_count > 1
