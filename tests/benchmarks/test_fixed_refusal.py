"""What is refused stays refused, once it is decided, in a real training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoModelForCausalLM

from axolotl_dece.audit.analyse.findings import load_audit
from axolotl_dece.audit.analyse.ledger_reader import AuditRows
from tests.benchmarks.fixed_refusal import WeightedCrossEntropy
from tests.tiny import base_config, train

DECE, HERE = "axolotl_dece.DecePlugin", "tests.benchmarks.fixed_refusal"
STEP = 1 / 255
"""The ledger keeps shares in steps of this size."""


def test_the_gradient_is_that_of_cross_entropy_times_the_weight() -> None:
    torch.manual_seed(0)
    logits = torch.randn(5, 7, dtype=torch.float64, requires_grad=True)
    target, weight = torch.randint(7, (5,)), torch.rand(5, dtype=torch.float64)
    (weight * torch.nn.functional.cross_entropy(logits, target, reduction="none")).sum().backward()
    loss, ce, sigma, gradient = WeightedCrossEntropy(weight).block(logits.detach(), target)
    torch.testing.assert_close(gradient, logits.grad)
    torch.testing.assert_close(loss, weight * ce)
    torch.testing.assert_close(sigma, weight)


def visits(workspace: Path, *plugins: str) -> tuple[AuditRows, NDArray[Any]]:
    """The rows of a run of three epochs, and what was withheld at the first and the last two visits, [3, targets]."""
    config = base_config(workspace, plugins=[DECE, *plugins], loss="gce", dece_audit=True, num_epochs=3)
    train(workspace, config)
    rows = load_audit(workspace / "out").rows
    return rows, rows.shares[:, rows.is_target].astype(np.float64)


def test_what_gce_refuses_by_itself_changes_with_every_visit(workspace: Path) -> None:
    _, (first, before, last) = visits(workspace)
    assert min(abs(first - before).max(), abs(before - last).max()) > 5 * STEP


def test_what_the_base_model_refuses_is_refused_to_the_end(workspace: Path) -> None:
    rows, (first, before, last) = visits(workspace, f"{HERE}.ByTheBase")
    model = AutoModelForCausalLM.from_pretrained(workspace / "model", dtype=torch.float32).eval()
    wanted = []
    for begin, end in zip(rows.start[:-1], rows.start[1:], strict=True):
        ids = torch.tensor(rows.tokens[begin:end].astype(np.int64))
        log_p = model(ids[None]).logits[0].log_softmax(dim=-1)[:-1].gather(1, ids[1:, None])[:, 0]
        wanted.append((1 - (log_p / 2).exp())[torch.tensor(rows.is_target[begin + 1 : end])])
    np.testing.assert_allclose(first, torch.cat(wanted).detach().numpy(), atol=STEP)
    np.testing.assert_array_equal(before, first)
    np.testing.assert_array_equal(last, first)


def test_what_is_refused_after_one_pass_is_refused_to_the_end(workspace: Path) -> None:
    _, (first, before, last) = visits(workspace, f"{HERE}.ByTheFirstPass")
    assert abs(first - before).max() > 5 * STEP
    np.testing.assert_array_equal(last, before)
