"""The objective as a model's loss function: training, eval, statistics, refusals."""

from typing import Any

import pytest
import torch
from torch import nn

from axolotl_dece.loss.criterion import CROSS_ENTROPY, Mixture
from axolotl_dece.loss.objective import install, next_tokens
from axolotl_dece.loss.rivals import GeneralizedCrossEntropy
from tests.steps import collate, expected_ce, make_model, make_rows


@pytest.fixture
def model() -> Any:
    return make_model(train_steps=5)


def test_next_tokens_moves_labels_left_and_leaves_nothing_at_the_end() -> None:
    assert next_tokens(torch.tensor([[5, 6, 7]])).tolist() == [[6, 7, -100]]
    assert next_tokens(None, torch.tensor([[6, 7, -100]])).tolist() == [[6, 7, -100]]


def test_in_eval_the_models_own_loss_is_reported_whatever_alpha_is(model: Any) -> None:
    (batch,) = collate(make_rows(), 4)
    model.eval()
    expected = model(**batch).loss.item()
    objective = install(model, Mixture(0.01))
    objective.begin_step(Mixture(0.01), 1.0)
    assert model(**batch).loss.item() == expected
    assert (objective.calls, objective.take_totals().tokens) == (0, 0.0)


def test_totals_are_sums_over_target_tokens_and_start_anew_when_taken(model: Any) -> None:
    (batch,) = collate(make_rows(), 4)
    objective = install(model, CROSS_ENTROPY)
    objective.begin_step(CROSS_ENTROPY, 0.5)
    loss = model(**batch).loss
    model(**batch)
    totals = objective.take_totals()
    tokens = (batch["labels"][:, 1:] != -100).sum().item()
    assert totals.tokens == 2 * tokens
    assert totals.ce / totals.tokens == pytest.approx(expected_ce(model.eval()), rel=1e-6)
    assert totals.loss == pytest.approx(2 * loss.item() / 0.5, rel=1e-6)
    assert totals.held_back == pytest.approx(0.0, abs=1e-6), "cross-entropy withholds nothing"
    assert objective.take_totals().tokens == 0.0


def test_held_back_grows_as_alpha_falls(model: Any) -> None:
    (batch,) = collate(make_rows(), 4)
    objective = install(model, Mixture(1.0))
    shares = []
    for alpha in (0.99, 0.9, 0.5):
        objective.begin_step(Mixture(alpha), 1.0)
        model(**batch)
        totals = objective.take_totals()
        shares.append(totals.held_back / totals.tokens)
    assert 0.0 < shares[0] < shares[1] < shares[2] < 1.0


def test_a_loss_outside_of_a_step_is_refused(model: Any) -> None:
    (batch,) = collate(make_rows(), 4)
    install(model, Mixture(0.9))
    with pytest.raises(RuntimeError, match="outside of an optimiser step"):
        model(**batch)


def test_a_trainer_that_normalises_too_is_refused(model: Any) -> None:
    (batch,) = collate(make_rows(), 4)
    install(model, Mixture(0.9)).begin_step(Mixture(0.9), 1.0)
    with pytest.raises(RuntimeError, match="normalised twice"):
        model(**batch, num_items_in_batch=torch.tensor(7))


def test_a_batch_without_labels_is_refused(model: Any) -> None:
    objective = install(model, Mixture(0.9))
    objective.begin_step(Mixture(0.9), 1.0)
    with pytest.raises(ValueError, match="no labels"):
        objective(torch.randn(1, 2, 5))


def test_only_the_one_instance_changes(model: Any) -> None:
    other = make_model(train_steps=0)
    install(model, Mixture(0.9))
    assert not isinstance(other.loss_function, type(model.loss_function))
    assert isinstance(model, nn.Module)


def test_a_baseline_is_never_asked_for_its_alpha(model: Any) -> None:
    objective = install(model, GeneralizedCrossEntropy(0.5))
    with pytest.raises(RuntimeError, match="has no alpha"):
        _ = objective.mixture
