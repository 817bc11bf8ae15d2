"""The shipped loss against the formula written out, in fp64, at toy and at real vocabulary sizes."""

import math
from itertools import product

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from axolotl_dece.loss import autograd, dece_loss, torch_rows
from axolotl_dece.loss.formula import dece_rows_reference

GRID = list(product((2, 7, 50, 5003), (0.0, 0.3, 0.985, 1.0), (0.0, 0.05, 0.3), (0.0, 1e-7, 1e-3), (1.0, 8.0)))


def random_rows(vocab: int, spread: float = 1.0, count: int = 5, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(count, vocab, dtype=torch.float64, generator=generator) * spread
    return logits.requires_grad_(), torch.randint(vocab, (count,), generator=generator)


def gradient(loss: Tensor, logits: Tensor) -> Tensor:
    return torch.autograd.grad(loss.sum(), logits, retain_graph=True)[0]


def relative(found: Tensor, expected: Tensor) -> float:
    return ((found.double() - expected.double()).norm() / expected.double().norm()).item()


def test_loss_and_gradient_equal_the_written_out_formula() -> None:
    for vocab, alpha, smoothing, floor, spread in GRID:
        logits, target = random_rows(vocab, spread)
        settings = {"alpha": alpha, "label_smoothing": smoothing, "prob_floor": floor}
        expected = dece_rows_reference(logits, target, **settings)
        found = dece_loss(logits, target, reduction="none", **settings)
        case = f"V={vocab} {settings} spread={spread}"
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-12, msg=lambda m, case=case: f"{case}: {m}")
        torch.testing.assert_close(
            gradient(found, logits),
            gradient(expected, logits),
            rtol=0,
            atol=1e-9,
            msg=lambda m, case=case: f"{case}: {m}",
        )


@pytest.mark.parametrize("alpha", [0.1, 0.9, 1.0])
@pytest.mark.parametrize("floor", [0.0, 1e-7])
def test_gradcheck(alpha: float, floor: float) -> None:
    logits, _ = random_rows(6, count=4)
    target = torch.tensor([1, -100, 0, 5])
    assert torch.autograd.gradcheck(lambda z: dece_loss(z, target, alpha=alpha, prob_floor=floor), logits)


def test_alpha_one_without_smoothing_is_cross_entropy() -> None:
    logits, target = random_rows(50, spread=30.0)
    found = dece_loss(logits, target, alpha=1.0, label_smoothing=0.0, prob_floor=0.0)
    expected = F.cross_entropy(logits, target)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(gradient(found, logits), gradient(expected, logits), rtol=0, atol=1e-12)


def test_alpha_one_is_torch_label_smoothing_rescaled() -> None:
    vocab, smoothing = 50, 0.1
    logits, target = random_rows(vocab)
    found = dece_loss(logits, target, alpha=1.0, label_smoothing=smoothing, prob_floor=0.0)
    expected = F.cross_entropy(logits, target, label_smoothing=smoothing * vocab / (vocab - 1))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


def test_without_smoothing_it_is_a_function_of_cross_entropy_alone() -> None:
    logits, target = random_rows(50)
    ce = F.cross_entropy(logits, target, reduction="none")
    found = dece_loss(logits, target, alpha=0.9, label_smoothing=0.0, prob_floor=0.0, reduction="none")
    torch.testing.assert_close(found, -torch.log(0.9 * torch.exp(-ce) + 0.1), rtol=0, atol=1e-12)


def test_alpha_zero_is_the_entropy_of_the_label_and_teaches_nothing() -> None:
    logits, target = random_rows(50)
    found = dece_loss(logits, target, alpha=0.0, label_smoothing=0.1)
    entropy = -(0.9 * math.log(0.9) + 0.1 * math.log(0.1 / 49))
    assert found.item() == pytest.approx(entropy, abs=1e-12)
    assert gradient(found, logits).abs().max() == 0.0


def test_the_gradient_of_a_row_sums_to_zero() -> None:
    logits, target = random_rows(5003, spread=4.0)
    found = gradient(dece_loss(logits, target, alpha=0.985), logits)
    assert found.sum(dim=1).abs().max() < 1e-15


def test_the_pull_on_the_target_never_exceeds_the_cap_that_alpha_sets() -> None:
    """max |dL/dz_y| = (1 - s) / (1 + s) with s = sqrt(1 - alpha), reached at p_y = s / (1 + s)."""
    alpha = 0.8
    s = math.sqrt(1 - alpha)
    p = torch.linspace(0.01, 0.99, 9999, dtype=torch.float64)
    logits = torch.stack([p.log(), (1 - p).log()], dim=1).requires_grad_()
    target = torch.zeros(len(p), dtype=torch.long)
    loss = dece_loss(logits, target, alpha=alpha, label_smoothing=0.0, prob_floor=0.0, reduction="sum")
    pull = gradient(loss, logits)[:, 0].abs()
    assert pull.max().item() == pytest.approx((1 - s) / (1 + s), abs=1e-6)
    assert p[pull.argmax()].item() == pytest.approx(s / (1 + s), abs=1e-3)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-4), (torch.bfloat16, 4e-3)])
def test_accurate_at_a_real_vocabulary_on_confident_rows(dtype: torch.dtype, tolerance: float) -> None:
    vocab = 151936
    logits, target = random_rows(vocab, spread=3.0, count=6)
    with torch.no_grad():
        logits[torch.arange(6), target] += 25.0
        rounded = logits.to(dtype)
    low, exact = rounded.clone().requires_grad_(), rounded.double().requires_grad_()
    found = dece_loss(low, target, alpha=0.985)
    expected = dece_rows_reference(exact, target, alpha=0.985).mean()
    assert found.dtype == torch.float32
    assert found.item() == pytest.approx(expected.item(), rel=1e-6)
    assert gradient(found, low).dtype == dtype
    assert relative(gradient(found, low), gradient(expected, exact)) < tolerance


def test_chunks_do_not_change_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    logits, target = random_rows(50, count=37)
    whole = dece_loss(logits, target, alpha=0.9)
    monkeypatch.setattr(torch_rows, "CPU_BLOCK_BYTES", 3 * 50 * 8)
    pieces = dece_loss(logits, target, alpha=0.9)
    torch.testing.assert_close(pieces, whole, rtol=0, atol=1e-14)
    torch.testing.assert_close(gradient(pieces, logits), gradient(whole, logits), rtol=0, atol=1e-15)


def test_masked_positions_count_for_nothing_even_when_they_hold_nan() -> None:
    logits, target = random_rows(50, count=6)
    masked = target.clone()
    masked[[1, 4]] = -100
    with torch.no_grad():
        logits[1] = math.nan
        logits[4] = math.inf
    kept = [0, 2, 3, 5]
    found = dece_loss(logits, masked, alpha=0.9)
    part = logits.detach()[kept].requires_grad_()
    expected = dece_loss(part, target[kept], alpha=0.9)
    torch.testing.assert_close(found, expected)
    found_gradient = gradient(found, logits)
    torch.testing.assert_close(found_gradient[kept], gradient(expected, part))
    assert (found_gradient[[1, 4]] == 0).all()


def test_a_batch_of_masked_positions_gives_a_zero_that_still_reaches_the_logits() -> None:
    logits, target = random_rows(7)
    loss = dece_loss(logits, torch.full_like(target, -100), alpha=0.9)
    assert loss.item() == 0.0
    assert (gradient(loss, logits) == 0).all()


def test_every_token_may_have_an_alpha_of_its_own() -> None:
    logits, target = random_rows(50, count=4)
    alphas = torch.tensor([0.5, 0.9, 1.0, 0.0], dtype=torch.float64)
    for floor in (0.0, 1e-7):
        found = dece_loss(logits, target, alpha=alphas, prob_floor=floor, reduction="none")
        for row, alpha in enumerate(alphas.tolist()):
            expected = dece_loss(logits[row], target[row], alpha=alpha, prob_floor=floor, reduction="none")
            torch.testing.assert_close(found[row], expected)


def test_an_alpha_in_a_tensor_of_one_number_is_that_alpha() -> None:
    logits, target = random_rows(50)
    found = dece_loss(logits, target, alpha=torch.tensor(0.9, dtype=torch.float64))
    torch.testing.assert_close(found, dece_loss(logits, target, alpha=0.9), rtol=0, atol=1e-14)


def test_hopeless_logits_stay_finite() -> None:
    logits = torch.tensor([[0.0, 1e5, -1e5], [-1e5, 0.0, 1e5]], requires_grad=True)
    for floor in (0.0, 1e-7):
        loss = dece_loss(logits, torch.tensor([0, 0]), alpha=0.985, prob_floor=floor)
        assert torch.isfinite(loss)
        assert torch.isfinite(gradient(loss, logits)).all()


def test_sigma_is_the_share_of_the_targets_gradient_that_is_let_through() -> None:
    """Held back = 1 - sigma: against label-smoothed CE (alpha = 1), whose target term is q_y."""
    logits, target = random_rows(50)
    from axolotl_dece.loss.criterion import Mixture

    mixture = Mixture(0.9, 0.05, 1e-7)
    _, ce, sigma = autograd.LossRows.apply(logits, target, mixture, -100)
    p = torch.softmax(logits, dim=1).gather(1, target[:, None])[:, 0]
    torch.testing.assert_close(sigma, 0.9 * p / (0.9 * p + 0.1 * 0.95))
    torch.testing.assert_close(ce, F.cross_entropy(logits, target, reduction="none"))
