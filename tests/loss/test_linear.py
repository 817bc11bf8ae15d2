"""The loss of a linear layer without its logits equals the loss of its logits, and keeps what it promises to save."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from axolotl_dece import linear_dece_loss
from axolotl_dece.loss import backend, dece_loss
from axolotl_dece.loss.criterion import Mixture
from axolotl_dece.loss.formula import dece_rows_reference
from axolotl_dece.loss.projection import _tokens_per_chunk
from axolotl_dece.loss.torch_rows import overwrite_logits

CLASSES, FEATURES = 301, 16
CHUNK = 5 * CLASSES * 8


def make_layer(bias: bool = True, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """hidden [3, 7, H], weight, target with masked tokens, bias."""
    torch.manual_seed(0)
    hidden = torch.randn(3, 7, FEATURES, dtype=dtype, requires_grad=True)
    weight = torch.randn(CLASSES, FEATURES, dtype=dtype, requires_grad=True)
    target = torch.randint(CLASSES, (3, 7))
    target[0, :4] = -100
    offset = torch.randn(CLASSES, dtype=dtype, requires_grad=True) if bias else None
    return hidden, weight, target, offset


def by_formula(hidden: Tensor, weight: Tensor, target: Tensor, bias: Tensor | None, **settings: Any) -> Tensor:
    """Losses of the tokens that count, from the written-out formula on full logits."""
    kept = target.reshape(-1) != -100
    logits = F.linear(hidden, weight, bias).reshape(-1, weight.size(0))[kept]
    return dece_rows_reference(logits, target.reshape(-1)[kept], **settings)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("bias", [True, False])
def test_loss_and_gradients_equal_the_formula_on_full_logits(bias: bool, reduction: str) -> None:
    for alpha, smoothing, floor in product((0.0, 0.985, 1.0), (0.0, 0.05), (0.0, 1e-7, 1e-3)):
        settings = {"alpha": alpha, "label_smoothing": smoothing, "prob_floor": floor}
        hidden, weight, target, offset = make_layer(bias)
        inputs = [t for t in (hidden, weight, offset) if t is not None]
        rows = by_formula(hidden, weight, target, offset, **settings)
        expected = rows.mean() if reduction == "mean" else rows.sum()
        found = linear_dece_loss(hidden, weight, target, offset, reduction=reduction, chunk_bytes=CHUNK, **settings)
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-11, msg=lambda m, s=settings: f"{s}: {m}")
        for mine, theirs in zip(
            torch.autograd.grad(3 * found, inputs), torch.autograd.grad(3 * expected, inputs), strict=True
        ):
            torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-11, msg=lambda m, s=settings: f"{s}: {m}")


def test_num_items_divides_the_sum() -> None:
    hidden, weight, target, bias = make_layer()
    rows = by_formula(hidden, weight, target, bias, alpha=0.9)
    for num_items in (11, torch.tensor(11)):
        found = linear_dece_loss(hidden, weight, target, bias, alpha=0.9, num_items=num_items)
        torch.testing.assert_close(found, rows.sum() / 11, rtol=0, atol=1e-12)


def test_every_token_may_have_its_own_alpha() -> None:
    for floor in (1e-7, 0.0):
        hidden, weight, target, bias = make_layer()
        alpha = torch.linspace(0.0, 1.0, 21, dtype=torch.float64).view(3, 7)
        settings = {"alpha": alpha, "prob_floor": floor}
        expected = dece_loss(F.linear(hidden, weight, bias), target, **settings)
        found = linear_dece_loss(hidden, weight, target, bias, chunk_bytes=CHUNK, **settings)
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
        (mine,), (theirs,) = torch.autograd.grad(found, weight), torch.autograd.grad(expected, weight)
        torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-12)


@pytest.mark.parametrize("frozen", ["hidden", "weight", "bias"])
def test_what_is_frozen_gets_no_gradient_and_changes_no_other(frozen: str) -> None:
    tensors = dict(zip(("hidden", "weight", "target", "bias"), make_layer(), strict=True))
    whole = linear_dece_loss(**tensors, alpha=0.9)
    trained = [name for name in ("hidden", "weight", "bias") if name != frozen]
    expected = torch.autograd.grad(whole, [tensors[name] for name in trained])
    part = linear_dece_loss(**(tensors | {frozen: tensors[frozen].detach()}), alpha=0.9)
    found = torch.autograd.grad(part, [tensors[name] for name in trained])
    for mine, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-12)


def test_masked_tokens_cost_no_logits(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    original = backend.overwrite_logits

    def watch(logits: Tensor, *args: Any, **kwargs: Any) -> Any:
        seen.append(logits.size(0))
        return original(logits, *args, **kwargs)

    monkeypatch.setattr(backend, "overwrite_logits", watch)
    hidden, weight, target, _ = make_layer()
    target.view(-1)[:14] = -100
    linear_dece_loss(hidden, weight, target, alpha=0.9, chunk_bytes=CHUNK)
    assert seen == [5, 2]


def test_masked_tokens_may_hold_anything() -> None:
    hidden, weight, target, _ = make_layer()
    with torch.no_grad():
        hidden[0, :4] = torch.nan
    loss = linear_dece_loss(hidden, weight, target, alpha=0.9)
    grad_hidden, grad_weight = torch.autograd.grad(loss, (hidden, weight))
    assert loss.isfinite()
    assert grad_weight.isfinite().all()
    assert not grad_hidden[0, :4].any()


def test_a_nan_in_what_counts_is_seen_in_the_loss() -> None:
    for settings in ({}, {"label_smoothing": 0.0}, {"prob_floor": 0.0}):
        hidden, weight, target, _ = make_layer()
        with torch.no_grad():
            hidden[1, 2] = torch.nan
        assert linear_dece_loss(hidden, weight, target, alpha=0.9, **settings).isnan()


def test_a_batch_without_targets_is_a_zero_with_zero_gradients() -> None:
    hidden, weight, target, bias = make_layer()
    target[:] = -100
    loss = linear_dece_loss(hidden, weight, target, bias, alpha=0.9)
    loss.backward()
    assert loss.item() == 0.0
    assert all(t.grad is not None and not t.grad.any() for t in (hidden, weight, bias))


def test_gradients_are_handed_over_once() -> None:
    hidden, weight, target, _ = make_layer()
    loss = linear_dece_loss(hidden, weight, target, alpha=0.9)
    loss.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="once"):
        loss.backward()


def test_the_weights_gradient_is_taken_over_not_copied() -> None:
    hidden, weight, target, _ = make_layer()
    loss = linear_dece_loss(hidden, weight, target, alpha=0.9)
    made = loss.grad_fn.gradients[1].data_ptr()
    loss.backward()
    assert weight.grad.data_ptr() == made


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.bfloat16, 2e-2), (torch.float16, 3e-3), (torch.float32, 1e-5)])
def test_low_precision_is_computed_in_fp32(dtype: torch.dtype, tolerance: float) -> None:
    hidden, weight, target, _ = make_layer(dtype=dtype)
    exact = [t.detach().double().requires_grad_() for t in (hidden, weight)]
    expected = by_formula(*exact, target, None, alpha=0.9).mean()
    found = linear_dece_loss(hidden, weight, target, alpha=0.9)
    assert found.dtype == torch.float32
    assert found.item() == pytest.approx(expected.item(), rel=tolerance)
    for mine, theirs in zip(
        torch.autograd.grad(found, (hidden, weight)), torch.autograd.grad(expected, exact), strict=True
    ):
        assert mine.dtype == dtype
        assert (mine.double() - theirs).norm() / theirs.norm() < tolerance


def test_autocast_casts_as_it_would_for_a_linear_layer() -> None:
    hidden, weight, target, _ = make_layer(dtype=torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = linear_dece_loss(hidden, weight, target, alpha=0.9)
        expected = dece_loss(F.linear(hidden, weight), target, alpha=0.9)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=0)
    assert torch.autograd.grad(found, weight)[0].dtype == torch.float32


def test_confident_rows_of_a_real_vocabulary_keep_their_digits() -> None:
    torch.manual_seed(0)
    logits = 2.0 * torch.randn(3, 151_936)
    target = torch.tensor([7, 151_935, 11])
    logits[[0, 1], target[:2]] += 25.0
    for floor in (1e-7, 0.0):
        exact = logits.double().requires_grad_()
        loss = dece_rows_reference(exact, target, alpha=0.985, prob_floor=floor)
        (gradient,) = torch.autograd.grad(loss.sum(), exact)
        written = logits.clone()
        found = overwrite_logits(written, target, Mixture(0.985, prob_floor=floor))
        torch.testing.assert_close(found.loss.double(), loss.detach(), rtol=0, atol=1e-6)
        assert ((written - gradient).norm(dim=1) / gradient.norm(dim=1)).max() < 1e-4
        cross_entropy = F.cross_entropy(logits.double(), target, reduction="none")
        torch.testing.assert_close(found.ce.double(), cross_entropy, rtol=1e-4, atol=1e-6)


def test_the_gradient_of_a_row_sums_to_zero_at_a_real_vocabulary() -> None:
    """torch's own softmax does not sum to one there: its error of 1e-5 would stand in every class."""
    torch.manual_seed(0)
    for spread in (1.0, 3.0, 10.0):
        written = spread * torch.randn(4, 151_936)
        overwrite_logits(written, torch.tensor([7, 151_935, 11, 0]), Mixture(0.985))
        assert (written.double().sum(dim=1).abs() / written.abs().sum(dim=1)).max() < 2e-6


def test_masked_rows_are_overwritten_with_zeros_whatever_they_hold() -> None:
    logits, target = torch.randn(4, 50), torch.tensor([1, 2, -100, 3])
    logits[2] = torch.nan
    statistics = overwrite_logits(logits, target, Mixture(0.9))
    assert not logits[2].any()
    assert logits.isfinite().all()
    assert all(term[2] == 0.0 for term in statistics)


def test_without_gradient_the_logits_stay_as_they_are() -> None:
    logits, target = torch.randn(4, 50), torch.tensor([1, 2, -100, 3])
    before = logits.clone()
    without = backend.rows_over_logits(logits, target, Mixture(0.9), gradient=False)
    assert torch.equal(logits, before)
    with_gradient = backend.rows_over_logits(logits, target, Mixture(0.9))
    assert not torch.equal(logits, before)
    assert all(torch.equal(a, b) for a, b in zip(without, with_gradient, strict=True))


def test_autograd_finds_out_that_somebody_still_needed_the_overwritten_logits() -> None:
    logits = torch.randn(4, 50, requires_grad=True).exp()
    backend.rows_over_logits(logits, torch.tensor([1, 2, -100, 3]), Mixture(0.9))
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        logits.sum().backward()


def test_chunks_are_equal_whole_tiles_within_the_budget() -> None:
    def size(tokens: int, chunk_bytes: int | None = 512 << 20, classes: int = 152_064) -> int:
        return _tokens_per_chunk(tokens, classes, torch.empty(0, dtype=torch.bfloat16), chunk_bytes)

    assert size(8192) == 1664  # five chunks instead of four and a rest
    assert size(100) == 128
    assert size(0) >= 1
    assert size(8192, chunk_bytes=1) == 1
    for tokens in (1, 63, 64, 1000, 8192, 65_536):
        assert size(tokens) * 152_064 * 2 <= 512 << 20


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"alpha": 1.5}, r"alpha must be in \[0, 1\], got 1.5"),
        ({"label_smoothing": 1.0}, "label_smoothing must be"),
        ({"prob_floor": -1.0}, "prob_floor must be"),
        ({"reduction": "none"}, "reduction must be sum or mean, got 'none'"),
        ({"target": torch.zeros(3, 6, dtype=torch.long)}, r"\(3, 7, 16\), \(301, 16\), \(3, 6\)"),
        ({"bias": torch.zeros(5)}, r"and \(5,\)"),
        ({"weight": torch.zeros(301, 15)}, r"\(301, 15\)"),
        ({"weight": torch.zeros(1, 16), "bias": None}, "at least 2 classes, got 1"),
    ],
)
def test_a_wrong_argument_is_named_with_its_value(changes: dict[str, Any], message: str) -> None:
    tensors = dict(zip(("hidden", "weight", "target", "bias"), make_layer(), strict=True))
    with pytest.raises(ValueError, match=message):
        linear_dece_loss(**(tensors | {"alpha": 0.9} | changes))
