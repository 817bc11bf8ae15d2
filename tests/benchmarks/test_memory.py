"""What the loss holds and moves at the shapes of real models, counted on fake tensors: seconds, and no memory.

N = 8192 tokens. Peaks are above hidden states and weight, and hold the gradients of both where they are trained.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from axolotl_dece.loss import linear_dece_loss, projection, torch_rows
from axolotl_dece.loss.formula import dece_rows_reference
from axolotl_dece.loss.projection import DEVICE_CHUNK_BYTES
from axolotl_dece.loss.torch_rows import DEVICE_BLOCK_BYTES, RowStatistics
from tests.benchmarks.meter import Meter

TOKENS = 8192
GIB = 2**30
MODELS = {"7B": (152_064, 3584), "0.5B": (151_936, 896)}
HeadLoss = Callable[[Tensor, Tensor, Tensor], Tensor]


def fused(hidden: Tensor, weight: Tensor, target: Tensor) -> Tensor:
    return linear_dece_loss(hidden, weight, target, alpha=0.985)


def hugging_face(hidden: Tensor, weight: Tensor, target: Tensor) -> Tensor:
    return F.cross_entropy(F.linear(hidden, weight).float(), target)


def written_out(hidden: Tensor, weight: Tensor, target: Tensor) -> Tensor:
    return dece_rows_reference(F.linear(hidden, weight), target, alpha=0.985).mean()


@pytest.fixture
def as_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """The buffers of a GPU, and every token a target: which ones are cannot be asked of fake tensors."""
    monkeypatch.setattr(projection, "CPU_CHUNK_BYTES", DEVICE_CHUNK_BYTES)
    monkeypatch.setattr(torch_rows, "CPU_BLOCK_BYTES", DEVICE_BLOCK_BYTES)
    monkeypatch.setattr(projection, "target_positions", lambda target, _: torch.arange(target.numel()))


@pytest.fixture
def in_the_kernel(monkeypatch: pytest.MonkeyPatch, as_on_a_gpu: None) -> None:
    """What the Triton kernel allocates: three numbers for each row."""

    def kernel(logits: Tensor, *_: object, **__: object) -> RowStatistics:
        return RowStatistics(*torch.zeros(3, logits.size(0)).unbind())

    monkeypatch.setattr(projection, "rows_over_logits", kernel)


def count(loss_of: HeadLoss, model: str, frozen: bool = False, tokens: int = TOKENS) -> tuple[float, float]:
    """Peak in GiB, and bytes moved per logit outside of the matrix products."""
    vocab, width = MODELS[model]
    with FakeTensorMode():
        hidden = torch.empty(tokens, width, dtype=torch.bfloat16, requires_grad=True)
        weight = torch.empty(vocab, width, dtype=torch.bfloat16, requires_grad=not frozen)
        target = torch.zeros(tokens, dtype=torch.long)
        with Meter() as meter:
            loss_of(hidden, weight, target).backward()
    return meter.peak / GIB, meter.moved / (tokens * vocab)


# weight's gradient, chunk of logits, gradients of hidden states
@pytest.mark.parametrize(("model", "most"), [("7B", 1.02 + 0.48 + 0.12), ("0.5B", 0.26 + 0.48 + 0.05)])
@pytest.mark.usefixtures("in_the_kernel")
def test_a_trained_head_holds_its_gradient_and_one_chunk(model: str, most: float) -> None:
    peak, _ = count(fused, model)
    assert peak <= most


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.usefixtures("in_the_kernel")
def test_a_frozen_head_holds_less_than_six_hundredths_of_hugging_faces_loss(model: str) -> None:
    peak, _ = count(fused, model, frozen=True)
    theirs, _ = count(hugging_face, model, frozen=True)
    assert peak <= 0.06 * theirs


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.usefixtures("as_on_a_gpu")
def test_without_triton_it_holds_a_chunk_and_a_few_blocks_and_moves_no_more_than_before(model: str) -> None:
    peak, moved = count(fused, model, frozen=True, tokens=1664)
    assert peak <= 0.48 + 0.02 + 4 * DEVICE_BLOCK_BYTES / GIB
    assert moved <= 170


def test_the_meter_finds_what_is_known_of_full_logits() -> None:
    """A bf16 copy of the logits and two in fp32 at least; every pass over them counted by hand gives 44 bytes."""
    vocab, _ = MODELS["7B"]
    peak, moved = count(hugging_face, "7B", frozen=True)
    assert peak >= TOKENS * vocab * (2 + 4 + 4) / GIB
    assert moved == pytest.approx(44, abs=0.1)
    peak, moved = count(written_out, "7B", frozen=True)
    assert (peak, moved) == (pytest.approx(19.7, abs=0.1), pytest.approx(83, abs=0.5))


def test_the_meter_counts_what_is_alive_at_once() -> None:
    with Meter() as meter:
        first = torch.zeros(1000)
        second = first + 1
        del first
        second[:500].mul_(2)
        third = second.view(10, 100).sum()
    assert meter.peak == 8000
    assert third.item() == 1500
