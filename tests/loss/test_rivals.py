"""The rivals of DeCE against their formulas as their papers write them: dense, plain, fp64."""

import math
from collections.abc import Callable
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from axolotl.monkeypatch.loss.eaft import eaft_loss
from torch import Tensor

from axolotl_dece.loss import torch_rows
from axolotl_dece.loss.autograd import LossRows
from axolotl_dece.loss.backend import rows_over_logits, sum_over_logits
from axolotl_dece.loss.criterion import CROSS_ENTROPY, Criterion, Mixture
from axolotl_dece.loss.rivals import (
    Baseline,
    EntropyAdaptive,
    GeneralizedCrossEntropy,
    InTrust,
    ThresholdedCrossEntropy,
)

Oracle = Callable[[Tensor, Tensor], Tensor]
LARGE = 151_936


def gce(q: float) -> Oracle:
    return lambda z, y: (1.0 - F.softmax(z, dim=1).gather(1, y[:, None]).squeeze(1) ** q) / q


def in_trust(alpha: float, beta: float, delta: float) -> Oracle:
    def loss(z: Tensor, y: Tensor) -> Tensor:
        p = F.softmax(z, dim=1)
        label = F.one_hot(y, z.size(1)).double().clamp(1e-4, 1.0)
        robust = -(p * torch.log(delta * p + (1 - delta) * label)).sum(dim=1)
        return alpha * F.cross_entropy(z, y, reduction="none") + beta * robust

    return loss


def smoothed(eps: float) -> Oracle:
    """torch spreads eps over all classes, our convention over the wrong ones."""

    def loss(z: Tensor, y: Tensor) -> Tensor:
        classes = z.size(1)
        return F.cross_entropy(z, y, reduction="none", label_smoothing=eps * classes / (classes - 1))

    return loss


def thresholded(tau: float) -> Oracle:
    def loss(z: Tensor, y: Tensor) -> Tensor:
        p = F.softmax(z, dim=1).gather(1, y[:, None]).squeeze(1)
        return torch.where(p >= tau, -p.log(), 0.0)

    return loss


def entropy_adaptive(classes: int) -> Oracle:
    """As axolotl has it, with its 1e-10 left out."""

    def loss(z: Tensor, y: Tensor) -> Tensor:
        with torch.no_grad():
            p = F.softmax(torch.sort(z, dim=1, descending=True).values[:, :classes], dim=1)
            entropy = -torch.special.xlogy(p, p).sum(dim=1)
        return entropy * F.cross_entropy(z, y, reduction="none")

    return loss


CASES: dict[str, tuple[Criterion, Oracle]] = {
    "gce 0.5": (GeneralizedCrossEntropy(0.5), gce(0.5)),
    "gce 0.7": (GeneralizedCrossEntropy(0.7), gce(0.7)),
    "gce 1": (GeneralizedCrossEntropy(1.0), gce(1.0)),
    "in-trust": (InTrust(0.2, 0.8, 0.5), in_trust(0.2, 0.8, 0.5)),
    "in-trust, label alone": (InTrust(1.0, 2.0, 0.0), in_trust(1.0, 2.0, 0.0)),
    "label smoothing": (Mixture(1.0, 0.1, prob_floor=0.0), smoothed(0.1)),
    "threshold 0.1": (ThresholdedCrossEntropy(0.1), thresholded(0.1)),
    "threshold 1e-6": (ThresholdedCrossEntropy(1e-6), thresholded(1e-6)),
    "eaft": (EntropyAdaptive(20), entropy_adaptive(20)),
    "eaft, two classes": (EntropyAdaptive(2), entropy_adaptive(2)),
}
# the weight of EAFT counts as a number, so its gradient is not that of its value
SMOOTH = {name: case for name, case in CASES.items() if not isinstance(case[0], EntropyAdaptive)}
ALL = pytest.mark.parametrize(("criterion", "oracle"), CASES.values(), ids=CASES.keys())


def make_rows(vocab: int, spread: float = 2.0, count: int = 6) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(vocab)
    logits = spread * torch.randn(count, vocab, dtype=torch.float64, generator=generator)
    return logits.requires_grad_(), torch.randint(vocab, (count,), generator=generator)


def loss_of(criterion: Criterion, logits: Tensor, target: Tensor) -> Tensor:
    loss: Tensor = LossRows.apply(logits, target, criterion, -100)[0]
    return loss


def gradient(loss: Tensor, logits: Tensor) -> Tensor:
    return torch.autograd.grad(loss.sum(), logits, retain_graph=True)[0]


def relative(found: Tensor, expected: Tensor) -> float:
    # below a threshold nothing is trained, and 0 of 0 is no error
    return ((found.double() - expected).norm() / expected.norm().clamp(min=1e-300)).item()


@ALL
@pytest.mark.parametrize("vocab", [2, 5, 50])
@pytest.mark.parametrize("spread", [0.1, 2.0, 8.0])
def test_loss_and_gradient_equal_the_written_out_formula(
    criterion: Criterion, oracle: Oracle, vocab: int, spread: float
) -> None:
    logits, target = make_rows(vocab, spread)
    found, expected = loss_of(criterion, logits, target), oracle(logits, target)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(gradient(found, logits), gradient(expected, logits), rtol=0, atol=1e-12)


@ALL
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-4), (torch.bfloat16, 4e-3)])
def test_accurate_at_a_real_vocabulary_sure_and_unsure(
    criterion: Criterion, oracle: Oracle, dtype: torch.dtype, tolerance: float
) -> None:
    logits, target = make_rows(LARGE, spread=3.0)
    with torch.no_grad():
        logits[torch.arange(3), target[:3]] += 25.0
        rounded = logits.to(dtype)
    low, exact = rounded.clone().requires_grad_(), rounded.double().requires_grad_()
    found, expected = loss_of(criterion, low, target), oracle(exact, target)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-7)
    mine, theirs = gradient(found, low), gradient(expected, exact)
    assert mine.dtype == dtype
    for i in range(6):
        assert relative(mine[i], theirs[i]) < tolerance, f"row {i}"


@pytest.mark.parametrize(("criterion", "oracle"), SMOOTH.values(), ids=SMOOTH.keys())
def test_gradcheck(criterion: Criterion, oracle: Oracle) -> None:
    logits, _ = make_rows(6, count=4)
    target = torch.tensor([1, -100, 0, 5])
    assert torch.autograd.gradcheck(lambda z: loss_of(criterion, z, target), logits)


def test_eaft_is_axolotls_own() -> None:
    logits, target = make_rows(50, spread=4.0)
    labels = torch.cat([torch.tensor([-100]), target])[None]
    ahead = torch.cat([logits, torch.zeros(1, 50, dtype=torch.float64)])[None]
    expected = eaft_loss(SimpleNamespace(logits=ahead), labels, num_items_in_batch=1)
    found = loss_of(EntropyAdaptive(), logits, target).sum()
    # axolotl computes the weight in fp32
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=0)
    torch.testing.assert_close(gradient(found, logits), gradient(expected, logits), rtol=1e-6, atol=1e-7)


def test_below_the_threshold_nothing_is_trained_and_above_it_cross_entropy() -> None:
    logits, target = torch.tensor([[0.05, 0.95], [0.15, 0.85]]).log(), torch.tensor([0, 0])
    statistics = rows_over_logits(logits, target, ThresholdedCrossEntropy(0.1))
    assert statistics.loss.tolist() == [0.0, pytest.approx(-math.log(0.15))]
    assert statistics.sigma.tolist() == [0.0, pytest.approx(1.0)]
    assert logits[0].tolist() == [0.0, 0.0]
    assert logits[1].tolist() == pytest.approx([-0.85, 0.85])


def test_gce_with_a_small_q_is_cross_entropy() -> None:
    logits, target = make_rows(50)
    found, expected = loss_of(GeneralizedCrossEntropy(1e-9), logits, target), loss_of(CROSS_ENTROPY, logits, target)
    torch.testing.assert_close(found, expected, rtol=1e-7, atol=0)
    torch.testing.assert_close(gradient(found, logits), gradient(expected, logits), rtol=0, atol=1e-7)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("q", [0.5, 1.0])
def test_gce_is_cross_entropy_to_the_last_digit_where_a_token_is_trusted(dtype: torch.dtype, q: float) -> None:
    logits, target = make_rows(50)
    logits = logits.detach().to(dtype).requires_grad_()
    trusted = torch.arange(len(target)) % 2 == 0
    gce_alone = GeneralizedCrossEntropy(q)
    for where, expected in ((trusted, CROSS_ENTROPY), (~trusted, gce_alone)):
        kept = torch.where(where, target, -100)
        found = loss_of(gce_alone.trusting(trusted), logits, kept)
        torch.testing.assert_close(found, loss_of(expected, logits, kept), rtol=4 * torch.finfo(dtype).eps, atol=0)
        mine, theirs = gradient(found, logits), gradient(loss_of(expected, logits, kept), logits)
        torch.testing.assert_close(mine, theirs, rtol=8 * torch.finfo(dtype).eps, atol=8 * torch.finfo(dtype).eps)


def test_in_trust_cannot_trust_some_tokens_and_not_others() -> None:
    with pytest.raises(NotImplementedError, match="trusts some rows"):
        InTrust(1.0, 1.0, 0.5).trusting(torch.tensor([True]))


def test_gce_with_q_one_is_half_the_mean_absolute_error() -> None:
    logits, target = make_rows(50)
    error = (F.softmax(logits, dim=1) - F.one_hot(target, 50)).abs().sum(dim=1)
    torch.testing.assert_close(loss_of(GeneralizedCrossEntropy(1.0), logits, target), error / 2)


def test_in_trust_without_its_robust_term_is_weighted_cross_entropy() -> None:
    logits, target = make_rows(50)
    found, expected = loss_of(InTrust(0.2, 0.0, 0.5), logits, target), 0.2 * loss_of(CROSS_ENTROPY, logits, target)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(gradient(found, logits), gradient(expected, logits))


@pytest.mark.parametrize("gap", [15.0, -15.0, -60.0])
def test_gce_keeps_its_digits_where_the_target_is_almost_sure_or_hopeless(gap: float) -> None:
    logits, target = torch.zeros(1, 50), torch.tensor([7])
    logits[0, 7] = gap
    exact = logits.double().requires_grad_()
    expected = gce(0.7)(exact, target)
    statistics = rows_over_logits(logits, target, GeneralizedCrossEntropy(0.7))
    assert statistics.loss.item() == pytest.approx(expected.item(), rel=1e-5)
    assert relative(logits, gradient(expected, exact)) < 1e-5


@ALL
def test_sigma_is_the_pull_on_the_target_as_a_share_of_cross_entropys(criterion: Criterion, oracle: Oracle) -> None:
    logits, target = make_rows(50, spread=4.0)
    _, ce, sigma = LossRows.apply(logits, target, criterion, -100)
    plain = F.cross_entropy(logits, target, reduction="none")
    torch.testing.assert_close(ce, plain)
    if isinstance(criterion, Baseline):
        pull, of_ce = (gradient(loss, logits).gather(1, target[:, None]) for loss in (oracle(logits, target), plain))
        expected = (pull / of_ce).squeeze(1).clamp(0.0, 1.0)
    else:
        expected = torch.ones_like(ce)
    torch.testing.assert_close(sigma, expected)
    if isinstance(criterion, GeneralizedCrossEntropy):
        torch.testing.assert_close(sigma, torch.exp(-criterion.q * ce))


@pytest.mark.parametrize(("probability", "share"), [(1e-6, 0.2), (1 - 1e-6, 8.5)])
def test_in_trust_holds_back_what_is_doubtful_and_pulls_harder_where_the_model_is_sure(
    probability: float, share: float
) -> None:
    logits = torch.full((1, 50), (1 - probability) / 49, dtype=torch.float64)
    logits[0, 7] = probability
    logits = logits.log()
    sigma = rows_over_logits(logits, torch.tensor([7]), InTrust(0.2, 0.8, 0.5)).sigma.item()
    assert -logits[0, 7].item() / (1 - probability) == pytest.approx(share, abs=0.03)
    assert sigma == pytest.approx(min(share, 1.0), abs=1e-3)


@ALL
def test_a_target_beyond_doubt_gives_finite_numbers(criterion: Criterion, oracle: Oracle) -> None:
    logits = torch.zeros(2, 50)
    logits[0, 3], logits[1, 3] = 500.0, -500.0
    logits[:, 4] = -math.inf
    if isinstance(criterion, Mixture):
        # smoothed labels of a class that cannot be are infinitely wrong
        logits[:, 4] = -400.0
    statistics = rows_over_logits(logits, torch.tensor([3, 3]), criterion)
    assert all(part.isfinite().all() for part in statistics)
    assert logits.isfinite().all()
    assert statistics.sigma[0] == 1.0


@ALL
def test_masked_rows_are_zero_whatever_they_hold(criterion: Criterion, oracle: Oracle) -> None:
    logits, target = make_rows(50)
    kept = [0, 2, 3, 5]
    expected = loss_of(criterion, logits, target)
    slope = gradient(expected, logits)
    with torch.no_grad():
        logits[1], logits[4] = math.nan, math.inf
    target[[1, 4]] = -100
    total, statistics = sum_over_logits(logits, target, criterion, 0.5)
    torch.testing.assert_close(total, 0.5 * expected[kept].sum())
    found = gradient(total, logits)
    torch.testing.assert_close(found[kept], 0.5 * slope[kept])
    for part in (*statistics, found):
        assert (part[[1, 4]] == 0.0).all()


@ALL
def test_every_row_masked_is_a_zero_that_reaches_the_logits(criterion: Criterion, oracle: Oracle) -> None:
    logits, target = make_rows(50)
    total, _ = sum_over_logits(logits, torch.full_like(target, -100), criterion, 0.5)
    assert total.item() == 0.0
    assert (gradient(total, logits) == 0.0).all()


@ALL
def test_blocks_do_not_change_the_result(criterion: Criterion, oracle: Oracle, monkeypatch: pytest.MonkeyPatch) -> None:
    logits, target = make_rows(50, count=37)
    whole, one = logits.detach().clone(), logits.detach().clone()
    expected = rows_over_logits(whole, target, criterion)
    monkeypatch.setattr(torch_rows, "CPU_BLOCK_BYTES", 3 * 50 * 8)
    found = rows_over_logits(one, target, criterion)
    torch.testing.assert_close(torch.stack(found), torch.stack(expected), rtol=0, atol=1e-14)
    torch.testing.assert_close(one, whole, rtol=0, atol=1e-15)


@ALL
def test_statistics_alone_leave_the_logits_as_they_are(criterion: Criterion, oracle: Oracle) -> None:
    logits, target = make_rows(50)
    logits = logits.detach()
    before = logits.clone()
    without = rows_over_logits(logits, target, criterion, gradient=False)
    assert torch.equal(logits, before)
    torch.testing.assert_close(torch.stack(without), torch.stack(rows_over_logits(logits, target, criterion)))


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: GeneralizedCrossEntropy(0.0), "q"),
        (lambda: GeneralizedCrossEntropy(1.1), "q"),
        (lambda: GeneralizedCrossEntropy(math.nan), "q"),
        (lambda: InTrust(0.0, 0.8, 0.5), "alpha"),
        (lambda: InTrust(math.inf, 0.8, 0.5), "alpha"),
        (lambda: InTrust(0.2, -0.1, 0.5), "beta"),
        (lambda: InTrust(0.2, math.nan, 0.5), "beta"),
        (lambda: InTrust(0.2, 0.8, 1.0), "delta"),
    ],
)
def test_a_number_out_of_its_range_is_named(make: Callable[[], Criterion], name: str) -> None:
    with pytest.raises(ValueError, match=f"^{name} must be"):
        make()
