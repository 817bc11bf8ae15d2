"""Laws of the Triton kernel, run by Triton's interpreter on CPU tensors.

Not collected by itself: TRITON_INTERPRET must be set before Triton is imported, so tests/loss/test_triton_rows.py runs
this file in a process of its own.
"""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from axolotl_dece.loss import triton_backend, triton_rows
from axolotl_dece.loss.criterion import Mixture
from axolotl_dece.loss.formula import dece_rows_reference
from axolotl_dece.loss.torch_rows import longest_product
from axolotl_dece.loss.triton_rows import dece_rows_kernel, multiply_rows_kernel

FLOORS = (0.0, 1e-7, 1e-3)


def make_rows(vocab: int, spread: float = 4.0, count: int = 3) -> tuple[Tensor, Tensor]:
    """Rows of which the first is confident and right, and the second has a likely but wrong target."""
    torch.manual_seed(0)
    logits = torch.randn(count, vocab) * spread
    target = torch.randint(vocab, (count,))
    target[0] = logits[0].argmax()
    logits[0, target[0]] += 2.0 * spread
    return logits, target


def expected(logits: Tensor, target: Tensor, mixture: Mixture) -> tuple[Tensor, Tensor]:
    """Loss and gradient of the written-out formula in fp64."""
    exact = logits.double().requires_grad_()
    loss = dece_rows_reference(
        exact,
        target,
        alpha=mixture.alpha,
        label_smoothing=mixture.label_smoothing,
        prob_floor=mixture.prob_floor,
    )
    return loss.detach(), torch.autograd.grad(loss.sum(), exact)[0]


def relative(found: Tensor, wanted: Tensor) -> float:
    return ((found.double() - wanted).norm(dim=-1) / wanted.norm(dim=-1)).max().item()


@pytest.mark.parametrize("smoothing", [0.0, 0.05])
@pytest.mark.parametrize("alpha", [0.0, 0.3, 0.985, 1.0])
@pytest.mark.parametrize("vocab", [300, 9001])
def test_loss_and_gradient_equal_the_formula(vocab: int, alpha: float, smoothing: float) -> None:
    for floor in FLOORS:
        mixture = Mixture(alpha, smoothing, floor)
        logits, target = make_rows(vocab)
        loss, gradient = expected(logits, target, mixture)
        cross_entropy = F.cross_entropy(logits.double(), target, reduction="none")
        found, ce, sigma = dece_rows_kernel(logits, target, mixture)
        torch.testing.assert_close(found.double(), loss, rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(logits.double(), gradient, rtol=0, atol=5e-7)
        torch.testing.assert_close(ce.double(), cross_entropy, rtol=1e-6, atol=2e-6)
        assert ((sigma >= 0) & (sigma <= 1)).all()


def test_the_smallest_vocabulary() -> None:
    mixture = Mixture(0.9)
    logits, target = make_rows(2, spread=1.0)
    loss, gradient = expected(logits, target, mixture)
    found, _, _ = dece_rows_kernel(logits, target, mixture)
    torch.testing.assert_close(found.double(), loss, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(logits.double(), gradient, rtol=0, atol=3e-7)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-4), (torch.bfloat16, 4e-3)])
def test_confident_rows_of_a_real_vocabulary_are_accurate(dtype: torch.dtype, tolerance: float) -> None:
    logits, target = make_rows(151_936, spread=2.0, count=2)
    logits[0, target[0]] += 14.0
    logits = logits.to(dtype)
    for floor in (0.0, 1e-7):
        mixture = Mixture(0.985, prob_floor=floor)
        loss, gradient = expected(logits, target, mixture)
        written = logits.clone()
        found, _, _ = dece_rows_kernel(written, target, mixture)
        torch.testing.assert_close(found.double(), loss, rtol=1e-6, atol=1e-6)
        assert relative(written, gradient) < tolerance


def test_half_precision_is_rounded_only_when_stored() -> None:
    for dtype, tolerance in ((torch.bfloat16, 5e-3), (torch.float16, 2e-3)):
        logits, target = make_rows(300)
        logits = logits.to(dtype)
        loss, gradient = expected(logits, target, Mixture(0.9))
        found, _, _ = dece_rows_kernel(logits, target, Mixture(0.9))
        torch.testing.assert_close(found.double(), loss, rtol=1e-6, atol=1e-6)
        assert relative(logits, gradient) < tolerance


@pytest.mark.parametrize("alpha", [0.5, 1.0 - 1e-9, 1.0 - 1e-14])
def test_products_of_any_length_are_exact(alpha: float) -> None:
    """Closer to 1, alpha leaves room for fewer factors: four, two, then one."""
    mixture = Mixture(alpha, prob_floor=0.0)
    logits, target = make_rows(300)
    loss, gradient = expected(logits, target, mixture)
    found, _, _ = dece_rows_kernel(logits, target, mixture)
    torch.testing.assert_close(found.double(), loss, rtol=1e-6, atol=1e-6)
    # exp2 of fp32 in numpy, which the interpreter computes with, is good to a few last digits; how many depends on the
    # processor, and 5.3e-7 was seen on one without AVX-512
    torch.testing.assert_close(logits.double(), gradient, rtol=0, atol=1e-6)


def test_a_product_never_overflows() -> None:
    assert [longest_product(k) for k in (0.0, 1e7, 1e12, 1e25)] == [4, 4, 2, 1]
    for largest in (1e3, 1e9, 1e10, 1e11, 1e18, 1e20):
        count = longest_product(largest)
        assert (1.0 + largest / count) ** count < torch.finfo(torch.float32).max


def test_masked_rows_are_zero_whatever_they_hold() -> None:
    logits, target = make_rows(300)
    target[1] = -100
    logits[1] = math.nan
    statistics = dece_rows_kernel(logits, target, Mixture(0.9))
    assert not logits[1].any()
    assert all(term[1] == 0.0 for term in statistics)
    assert logits[0].any()
    assert logits.isfinite().all()


def test_classes_the_model_rules_out_get_no_gradient() -> None:
    logits, target = make_rows(9001)
    logits[:, :8192] = -math.inf
    target[:] = 9000
    loss, gradient = expected(logits, target, Mixture(0.9))
    found, _, _ = dece_rows_kernel(logits, target, Mixture(0.9))
    torch.testing.assert_close(found.double(), loss, rtol=1e-6, atol=1e-6)
    # exp2 of fp32 in numpy, which the interpreter computes with, is good to a few last digits; how many depends on the
    # processor, and 5.3e-7 was seen on one without AVX-512
    torch.testing.assert_close(logits.double(), gradient, rtol=0, atol=1e-6)
    assert not logits[:, :8192].any()


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("at_target", [True, False])
def test_a_row_with_nan_or_inf_has_a_loss_of_nan(at_target: bool, bad: float) -> None:
    for alpha, smoothing, floor in ((0.9, 0.05, 1e-7), (0.9, 0.0, 1e-7), (1.0, 0.0, 0.0), (0.9, 0.05, 0.0)):
        logits, target = make_rows(9001)
        logits[1, target[1] if at_target else 9000] = bad
        loss, _, _ = dece_rows_kernel(logits, target, Mixture(alpha, smoothing, floor))
        assert loss.isnan().tolist() == [False, True, False]


@pytest.mark.parametrize("wrong", [300, -1])
def test_a_target_outside_of_the_vocabulary_is_nan_and_harms_nobody(wrong: int) -> None:
    buffer, target = make_rows(600)
    logits = buffer[:, 100:400]
    around = buffer[:, :100].clone(), buffer[:, 400:].clone()
    target[:] = 5
    target[1] = wrong
    loss, _, _ = dece_rows_kernel(logits, target, Mixture(0.9))
    assert loss.isnan().tolist() == [False, True, False]
    assert torch.equal(buffer[:, :100], around[0])
    assert torch.equal(buffer[:, 400:], around[1])


def test_without_gradient_the_logits_stay() -> None:
    logits, target = make_rows(300)
    before = logits.clone()
    with_gradient = dece_rows_kernel(before.clone(), target, Mixture(0.9))
    without = dece_rows_kernel(logits, target, Mixture(0.9), gradient=False)
    assert torch.equal(logits, before)
    assert all(torch.equal(a, b) for a, b in zip(with_gradient, without, strict=True))


def test_scale_multiplies_the_gradient_and_nothing_else() -> None:
    for smoothing, alpha in ((0.05, 0.9), (0.0, 0.9), (0.05, 1.0)):
        logits, target = make_rows(300)
        scaled = logits.clone()
        mixture = Mixture(alpha, smoothing, 0.0)
        plain = dece_rows_kernel(logits, target, mixture)
        same = dece_rows_kernel(scaled, target, mixture, scale=torch.tensor(0.25))
        assert all(torch.equal(a, b) for a, b in zip(plain, same, strict=True))
        torch.testing.assert_close(scaled, logits * 0.25, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(("count", "apart"), [(2, 2**31 + 8), (3, 2**30 + 8)])
def test_rows_may_lie_more_than_two_billion_elements_apart(count: int, apart: int) -> None:
    """Because of the stride itself, or of the number of rows: 15,000 rows of 150,000 classes are enough."""
    vocab = 70
    logits, target = make_rows(vocab, count=count)
    _, gradient = expected(logits.bfloat16(), target, Mixture(0.9))
    # memory that is never touched is never there
    far = torch.empty((count - 1) * apart + vocab, dtype=torch.bfloat16).as_strided((count, vocab), (apart, 1))
    far.copy_(logits)
    dece_rows_kernel(far, target, Mixture(0.9))
    assert relative(far, gradient) < 5e-3


def test_multiplying_rows_by_one_is_free_and_by_anything_else_exact() -> None:
    rows = torch.randn(3, 9001)
    before = rows.clone()
    multiply_rows_kernel(rows, torch.tensor(1.0))
    assert torch.equal(rows, before)
    multiply_rows_kernel(rows, torch.tensor(0.125))
    assert torch.equal(rows, before * 0.125)


def over_logits(logits: Tensor, target: Tensor, scale: float = 0.125) -> Tensor:
    return triton_backend.OverLogits.apply(logits, target, Mixture(0.9), -100, torch.tensor(scale))[0]


def test_backward_multiplies_by_what_arrives() -> None:
    values, target = make_rows(300)
    _, gradient = expected(values, target, Mixture(0.9))
    leaf = values.clone().requires_grad_()
    (3.0 * over_logits(leaf * 1.0, target)).backward()
    torch.testing.assert_close(leaf.grad.double(), gradient * 0.375, rtol=0, atol=1e-6)


def test_a_small_gradient_survives_half_precision_until_the_loss_scale_arrives() -> None:
    values, target = make_rows(300)
    scale = 2.0**-17
    leaf = values.half().requires_grad_()
    _, gradient = expected(leaf.detach(), target, Mixture(0.9))
    (2.0**16 * over_logits(leaf * 1.0, target, scale)).backward()
    assert relative(leaf.grad * 2.0, gradient) < 2e-3


def test_autograd_finds_out_that_somebody_still_needed_the_logits() -> None:
    values, target = make_rows(300, spread=0.1)
    logits = values.requires_grad_().exp()
    loss = over_logits(logits, target)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_autograd_is_told_of_every_write(monkeypatch: pytest.MonkeyPatch) -> None:
    """The interpreter's own write would be noticed anyway; a GPU's is not."""
    told: list[int] = []
    monkeypatch.setattr(torch.autograd.graph, "increment_version", lambda tensor: told.append(tensor.data_ptr()))
    logits, target = make_rows(300)
    dece_rows_kernel(logits, target, Mixture(0.9), gradient=False)
    assert told == []
    dece_rows_kernel(logits, target, Mixture(0.9))
    multiply_rows_kernel(logits, torch.tensor(2.0))
    assert told == [logits.data_ptr()] * 2


def test_one_alpha_per_token_is_not_for_the_kernel() -> None:
    logits, target = make_rows(300)
    with pytest.raises(ValueError, match="one alpha for all rows"):
        dece_rows_kernel(logits, target, Mixture(torch.full((3,), 0.9)))


def test_no_rows_are_no_work() -> None:
    assert [t.shape for t in dece_rows_kernel(torch.empty(0, 300), torch.empty(0, dtype=torch.long), Mixture(0.9))] == [
        (0,)
    ] * 3
    multiply_rows_kernel(torch.empty(0, 300), torch.tensor(2.0))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_the_check_before_training_lets_a_right_kernel_pass(dtype: torch.dtype) -> None:
    triton_backend.kernel_agrees.cache_clear()
    assert triton_backend.kernel_agrees(torch.device("cpu"), dtype)


@pytest.mark.parametrize("fault", [1.001, math.nan])
def test_the_check_before_training_stops_a_wrong_kernel(
    fault: float, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    right = triton_rows.dece_rows_kernel

    def wrong(logits: Tensor, *args: object, **kwargs: object) -> tuple[Tensor, Tensor, Tensor]:
        loss, ce, sigma = right(logits, *args, **kwargs)
        return loss * fault, ce, sigma

    monkeypatch.setattr(triton_rows, "dece_rows_kernel", wrong)
    triton_backend.kernel_agrees.cache_clear()
    assert not triton_backend.kernel_agrees(torch.device("cpu"), torch.float32)
    assert "differs from torch" in caplog.text


def test_a_kernel_that_cannot_be_built_is_replaced_and_named(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*args: object, **kwargs: object) -> None:
        raise RuntimeError("Failed to find C compiler")

    monkeypatch.setattr(triton_rows, "dece_rows_kernel", broken)
    triton_backend.kernel_agrees.cache_clear()
    assert not triton_backend.kernel_agrees(torch.device("cpu"), torch.float32)
    assert "cannot build the kernel on cpu (Failed to find C compiler)" in caplog.text
