"""One optimiser step by hand: the real objective and keeper on a real tiny model, without a trainer's machinery."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch
import torch.nn.functional as F
from accelerate import Accelerator
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

from axolotl_dece.loss.criterion import Criterion, Mixture
from axolotl_dece.loss.formula import dece_rows_reference
from axolotl_dece.loss.objective import install
from axolotl_dece.schedule import AlphaSchedule
from axolotl_dece.step import StepKeeper

VOCAB = 61
SETTINGS = {"label_smoothing": 0.05, "prob_floor": 1e-7}
SCHEDULE = AlphaSchedule("linear", 0.8)
STEP, TOTAL_STEPS = 4, 10
ALPHA = 1.0 - 0.2 * 5 / 10
"""alpha of the step that `run_step` takes, worked out by hand."""


def make_rows(count: int = 4, seed: int = 0) -> list[dict[str, Tensor]]:
    """Rows of length 12 with prompts and answers of unequal length; the last one is masked altogether."""
    generator = torch.Generator().manual_seed(seed)
    rows = []
    for i in range(count):
        ids = torch.randint(3, VOCAB, (12,), generator=generator)
        labels = ids.clone()
        labels[: 1 + 2 * i] = -100
        labels[len(labels) - i :] = -100
        if i == count - 1:
            labels[:] = -100
        rows.append({"input_ids": ids, "labels": labels})
    return rows


def collate(rows: list[dict[str, Tensor]], micro_batch: int) -> list[dict[str, Tensor]]:
    groups = [rows[i : i + micro_batch] for i in range(0, len(rows), micro_batch)]
    return [{key: torch.stack([row[key] for row in group]) for key in group[0]} for group in groups]


def make_model(train_steps: int = 150) -> LlamaForCausalLM:
    """A tiny fp64 model, fitted to the rows until it is sure: at random init half the mutants are invisible."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCAB, hidden_size=24, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4
    )
    model = LlamaForCausalLM(config).double().train()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-2)
    (batch,) = collate(make_rows(), 4)
    for _ in range(train_steps):
        model(**batch).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return model


def stub_trainer(model: Any, step: int = STEP) -> Any:
    """The few attributes of a trainer that the keeper reads."""

    def get_batch_samples(iterator: Any, num_batches: int, device: Any) -> Any:
        return [batch for _, batch in zip(range(num_batches), iterator, strict=False)], None

    state = SimpleNamespace(global_step=step, max_steps=TOTAL_STEPS)
    return SimpleNamespace(
        model=model,
        state=state,
        args=SimpleNamespace(device=torch.device("cpu")),
        accelerator=Accelerator(cpu=True),
        get_batch_samples=get_batch_samples,
        store_metrics=lambda metrics, train_eval: state.__setattr__("metrics", metrics),
    )


def make_keeper(
    model: Any, schedule: AlphaSchedule | None = SCHEDULE, step: int = STEP, criterion: Criterion | None = None
) -> StepKeeper:
    trainer = stub_trainer(model, step)
    return StepKeeper(trainer, install(model, criterion or Mixture(1.0, **SETTINGS)), schedule)


def run_step(keeper: StepKeeper, micro_batch: int, rows: list[dict[str, Tensor]] | None = None) -> tuple[float, Tensor]:
    """(logged loss, flat gradient) of one optimiser step over `rows`, the way the trainer takes it."""
    model, batches = keeper.trainer.model, collate(rows or make_rows(), micro_batch)
    batches, _ = keeper.trainer.get_batch_samples(iter(batches), len(batches), torch.device("cpu"))
    model.zero_grad()
    logged = 0.0
    for batch in batches:
        loss = model(**batch).loss / len(batches)
        loss.backward()
        logged += loss.item()
    return logged, torch.cat([p.grad.flatten() for p in model.parameters()])


def expected_step(model: Any, rows: list[dict[str, Tensor]] | None = None) -> tuple[float, Tensor]:
    """The same from the written-out formula: one mean over all target tokens of all rows, shifted by hand."""
    (batch,) = collate(rows or make_rows(), 100)
    logits = model(input_ids=batch["input_ids"]).logits
    flat = logits[:, :-1].reshape(-1, VOCAB)
    target = batch["labels"][:, 1:].reshape(-1)
    kept = target != -100
    loss = dece_rows_reference(flat[kept], target[kept], alpha=ALPHA, **SETTINGS).mean()
    model.zero_grad()
    loss.backward()
    return loss.item(), torch.cat([p.grad.flatten() for p in model.parameters()])


def expected_ce(model: Any, rows: list[dict[str, Tensor]] | None = None) -> float:
    (batch,) = collate(rows or make_rows(), 100)
    logits = model(input_ids=batch["input_ids"]).logits
    return F.cross_entropy(logits[:, :-1].reshape(-1, VOCAB), batch["labels"][:, 1:].reshape(-1)).item()


def relative(found: Tensor, expected: Tensor) -> float:
    return ((found - expected).norm() / expected.norm()).item()
