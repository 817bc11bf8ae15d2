"""Mixtures of experts: the router loss that the model's own forward adds, on two ranks and in one process."""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from axolotl_dece.loss.formula import dece_rows_reference
from tests.distributed.cells import ALPHA_FINAL, LEARNING_RATE, STEPS, VOCABULARY, Cell, Document, stream
from tests.distributed.reference import Trajectory, trained
from tests.distributed.worker import make_trainer, train_and_save

COEFFICIENT = 0.5
SHAPE = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "initializer_range": 0.1,
    "pad_token_id": 0,
    "use_cache": False,
    "output_router_logits": True,
    "num_experts_per_tok": 2,
}


@dataclass(frozen=True)
class RouterCell:
    """A matrix cell with experts; `broken` sums the router loss over micro-batches and ranks."""

    family: str
    cell: Cell

    @property
    def name(self) -> str:
        return f"{self.family}-{self.cell.name}"


def build_experts(family: str, coefficient: float) -> Any:
    """A tiny model with four experts, two of them used for each token."""
    from transformers import MixtralConfig, MixtralForCausalLM, Qwen3MoeConfig, Qwen3MoeForCausalLM

    torch.manual_seed(0)
    shape = SHAPE | {"router_aux_loss_coef": coefficient}
    if family == "Mixtral":
        return MixtralForCausalLM(MixtralConfig(**shape, num_local_experts=4))
    return Qwen3MoeForCausalLM(Qwen3MoeConfig(**shape, num_experts=4, moe_intermediate_size=32, head_dim=8))


def train_router_cells(cells: list[RouterCell], folder: Path) -> None:
    """Train each cell on this rank."""
    for routed in cells:
        try:
            cell = routed.cell
            # what becomes of a router loss that nobody divides by micro-batches and ranks
            coefficient = COEFFICIENT * (2 * cell.accumulation if cell.broken else 1)
            trainer = make_trainer(cell, folder, build_experts(routed.family, coefficient))
            train_and_save(cell, trainer, folder / routed.name)
        except Exception:
            # the other cells still have something to say, and the test of this one says why it failed
            (folder / f"{routed.name}.error").write_text(traceback.format_exc())


def train_router_reference(family: str, accumulation: int) -> Trajectory:
    """One process, written out: the mean of DeCE over all tokens of a step, and the mean over its micro-batches of
    the router loss, which a model defines for one micro-batch.
    """
    model = build_experts(family, COEFFICIENT).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=LEARNING_RATE)
    losses, alphas = [], []
    for step, slots in enumerate(stream("padded")):
        alphas.append(1.0 - (1.0 - ALPHA_FINAL) * (step + 1) / STEPS)
        size = 2 // accumulation
        micro_batches = [slots[i : i + size] for i in range(0, len(slots), size)]
        rows, routers = zip(*(_micro_batch(model, batch, alphas[-1]) for batch in micro_batches), strict=True)
        loss = torch.cat(rows).mean() + COEFFICIENT * torch.stack(routers).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return Trajectory(losses, alphas, {name: p.detach().clone() for name, p in trained(model).items()})


def _micro_batch(model: Any, slots: list[list[Document]], alpha: float) -> tuple[Tensor, Tensor]:
    documents = [document for slot in slots for document in slot]
    longest = max(len(ids) for ids, _ in documents)
    ids = torch.tensor([ids + [0] * (longest - len(ids)) for ids, _ in documents])
    labels = torch.tensor([labels + [-100] * (longest - len(labels)) for _, labels in documents])
    mask = torch.tensor([[1] * len(ids) + [0] * (longest - len(ids)) for ids, _ in documents])
    outputs = model(input_ids=ids, attention_mask=mask)
    target = labels[:, 1:]
    valid = target >= 0
    return dece_rows_reference(outputs.logits[:, :-1][valid], target[valid], alpha=alpha), outputs.aux_loss
