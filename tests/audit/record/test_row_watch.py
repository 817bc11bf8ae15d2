"""Real steps of a tiny model: shares are those of the formula, and trusted rows train as under cross-entropy."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from axolotl_dece.audit.record.ledger import Ledger
from axolotl_dece.audit.record.row_table import tabulate
from axolotl_dece.audit.record.row_watch import RowWatch
from axolotl_dece.loss.criterion import Criterion
from axolotl_dece.loss.formula import dece_rows_reference
from axolotl_dece.loss.fused_policy import use_fused_head
from axolotl_dece.loss.rivals import GeneralizedCrossEntropy
from axolotl_dece.step import StepKeeper
from tests.audit.rows import dataset
from tests.steps import (
    ALPHA,
    SCHEDULE,
    SETTINGS,
    VOCAB,
    collate,
    make_keeper,
    make_model,
    make_rows,
    relative,
    run_step,
)


@pytest.fixture(scope="module")
def fitted() -> dict[str, torch.Tensor]:
    return make_model(train_steps=5).state_dict()


def keeper_on(fitted: dict[str, torch.Tensor], fused: bool, criterion: Criterion | None = None) -> StepKeeper:
    model = make_model(train_steps=0)
    model.load_state_dict(fitted)
    keeper = make_keeper(model, None if criterion else SCHEDULE, criterion=criterion)
    if fused:
        assert use_fused_head(keeper.objective, True).startswith("fused head on")
    return keeper


def watch_on(keeper: StepKeeper, trusted: list[int], keep_ledger: bool = True) -> tuple[RowWatch, Any]:
    table = tabulate(dataset([{name: row[name].tolist() for name in row} for row in make_rows()]))
    ledger = Ledger.empty(table.keys, table.targets) if keep_ledger else None
    watch = RowWatch(keeper.objective, ledger, [int(table.keys[row]) for row in trusted], lambda: 0)
    keeper.before_step.append(watch.begin_step)
    return watch, table


def expected(fitted: dict[str, torch.Tensor], trusted: list[int]) -> tuple[float, torch.Tensor, list[torch.Tensor]]:
    """Loss, gradient and withheld shares from the written-out formula, each row with an alpha of its own."""
    model = make_model(train_steps=0)
    model.load_state_dict(fitted)
    (batch,) = collate(make_rows(), 100)
    logits = model(input_ids=batch["input_ids"]).logits[:, :-1]
    target = batch["labels"][:, 1:]
    total, count, shares = torch.zeros((), dtype=torch.float64), int((target != -100).sum()), []
    for row in range(len(target)):
        kept = target[row] != -100
        alpha = 1.0 if row in trusted else ALPHA
        total = total + dece_rows_reference(logits[row][kept], target[row][kept], alpha=alpha, **SETTINGS).sum()
        p = logits[row][kept].softmax(-1).gather(1, target[row][kept][:, None]).squeeze(1)
        m = alpha * p.clamp(min=SETTINGS["prob_floor"]) + (1 - alpha) * (1 - SETTINGS["label_smoothing"])
        sure = ALPHA / (ALPHA + (1 - ALPHA) * (1 - SETTINGS["label_smoothing"]))
        shares.append((1 - torch.where(p < SETTINGS["prob_floor"], 0.0, alpha * p / m) / sure).clamp(min=0))
    (total / count).backward()
    gradient = torch.cat([parameter.grad.flatten() for parameter in model.parameters()])
    return float(total / count), gradient, [share.detach() for share in shares]


@pytest.mark.parametrize("fused", [False, True], ids=["logits", "fused"])
@pytest.mark.parametrize("micro_batch", [4, 2, 1])
@pytest.mark.parametrize("trusted", [[], [0, 2]], ids=["none trusted", "two trusted"])
def test_a_step_is_the_formula_with_an_alpha_for_every_row(
    fitted: dict[str, torch.Tensor], fused: bool, micro_batch: int, trusted: list[int]
) -> None:
    keeper = keeper_on(fitted, fused)
    watch, table = watch_on(keeper, trusted)
    logged, gradient = run_step(keeper, micro_batch)
    watch.end_step()
    loss, slope, shares = expected(fitted, trusted)
    assert logged == pytest.approx(loss, rel=1e-6)
    assert relative(gradient, slope) < 1e-6
    ledger = watch.ledger
    assert ledger is not None
    for row, share in enumerate(shares):
        found = ledger.last[ledger.start[row] : ledger.start[row + 1]] / 255
        assert torch.allclose(torch.from_numpy(found).double(), share.double(), atol=0.5 / 255 + 1e-9)
    assert ledger.visits.tolist() == [int(count > 0) for count in table.targets]
    assert float(max(share.max() for share in shares if len(share))) > 0.2


@pytest.mark.parametrize("fused", [False, True], ids=["logits", "fused"])
@pytest.mark.parametrize("micro_batch", [4, 1])
@pytest.mark.parametrize("trusted", [[], [0, 2]], ids=["none trusted", "two trusted"])
def test_gce_withholds_one_minus_p_to_the_q_and_trusted_rows_train_as_under_cross_entropy(
    fitted: dict[str, torch.Tensor], fused: bool, micro_batch: int, trusted: list[int]
) -> None:
    keeper = keeper_on(fitted, fused, GeneralizedCrossEntropy(0.5))
    watch, _ = watch_on(keeper, trusted)
    logged, _ = run_step(keeper, micro_batch)
    watch.end_step()
    model = make_model(train_steps=0)
    model.load_state_dict(fitted)
    (batch,) = collate(make_rows(), 100)
    log_p = model(input_ids=batch["input_ids"]).logits[:, :-1].log_softmax(-1)
    target = batch["labels"][:, 1:]
    ledger, total = watch.ledger, 0.0
    assert ledger is not None
    for row in range(len(target)):
        kept = target[row] != -100
        p = log_p[row][kept].gather(1, target[row][kept][:, None]).squeeze(1).exp().detach()
        total += float((-p.log() if row in trusted else 2 * (1 - p.sqrt())).sum())
        share = torch.zeros_like(p) if row in trusted else 1 - p.sqrt()
        found = torch.from_numpy(ledger.last[ledger.start[row] : ledger.start[row + 1]] / 255).double()
        assert torch.allclose(found, share.double(), atol=0.5 / 255 + 1e-9)
    assert logged == pytest.approx(total / int((target != -100).sum()), rel=1e-6)


def test_trust_needs_no_ledger(fitted: dict[str, torch.Tensor]) -> None:
    keeper = keeper_on(fitted, fused=False)
    watch, _ = watch_on(keeper, [1], keep_ledger=False)
    logged, _ = run_step(keeper, 2)
    watch.end_step()
    assert logged == pytest.approx(expected(fitted, [1])[0], rel=1e-6)
    assert keeper.objective.observe is None


def test_alpha_of_the_step_stays_the_schedules(fitted: dict[str, torch.Tensor]) -> None:
    keeper = keeper_on(fitted, fused=False)
    watch_on(keeper, [0, 1])
    run_step(keeper, 2)
    assert keeper.alpha == pytest.approx(ALPHA)


def test_evaluation_between_steps_is_not_entered(fitted: dict[str, torch.Tensor]) -> None:
    keeper = keeper_on(fitted, fused=False)
    watch, _ = watch_on(keeper, [0])
    run_step(keeper, 2)
    model = keeper.trainer.model.eval()
    (batch,) = collate(make_rows(), 4)
    plain = torch.nn.functional.cross_entropy(
        model(input_ids=batch["input_ids"]).logits[:, :-1].reshape(-1, VOCAB), batch["labels"][:, 1:].reshape(-1)
    )
    assert model(**batch).loss.item() == pytest.approx(plain.item(), rel=1e-4)
    watch.end_step()
    assert watch.ledger is not None
    assert watch.ledger.visits.max() == 1


def test_leftovers_of_an_epoch_belong_to_it(fitted: dict[str, torch.Tensor]) -> None:
    """With packing the trainer may end an epoch without a step on its last micro-batches."""
    keeper = keeper_on(fitted, fused=False)
    watch, _ = watch_on(keeper, [])
    run_step(keeper, 4)
    watch._epoch = lambda: 1
    run_step(keeper, 4)
    watch.end_step()
    assert watch.ledger is not None
    assert (watch.ledger.visits.max(), watch.ledger.first_epoch.max(), watch.ledger.last_epoch.max()) == (2, 0, 1)


def test_a_second_attempt_starts_with_nothing(fitted: dict[str, torch.Tensor]) -> None:
    keeper = keeper_on(fitted, fused=False)
    watch, table = watch_on(keeper, [])
    run_step(keeper, 4)
    watch.start(Ledger.empty(table.keys, table.targets))
    watch.end_step()
    assert watch.ledger is not None
    assert watch.ledger.visits.max() == 0
