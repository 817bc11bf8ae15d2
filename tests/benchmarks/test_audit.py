"""What the ledger costs: its share of the CPU time of a step, and the operations it adds on the device."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import LlamaConfig, LlamaForCausalLM

from axolotl_dece.audit.record.ledger import Ledger
from axolotl_dece.audit.record.row_table import tabulate
from axolotl_dece.audit.record.row_watch import RowWatch
from axolotl_dece.loss.fused_policy import use_fused_head
from tests.steps import make_keeper, run_step

pytestmark = pytest.mark.benchmark
SHAPES = {
    # about 0.1 M parameters, 16 rows of 32 tokens: the demo, where a step is so small that nothing is cheap
    "demo": (320, 64, 2, 16, 32),
    # about 20 M parameters, 8 rows of 256 tokens: small for a language model, large for a test
    "small": (32_000, 256, 4, 8, 256),
}


def make(shape: str) -> tuple[Any, RowWatch, list[dict[str, torch.Tensor]]]:
    vocab, width, layers, rows, length = SHAPES[shape]
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=vocab,
        hidden_size=width,
        intermediate_size=3 * width,
        num_hidden_layers=layers,
        num_attention_heads=4,
        max_position_embeddings=512,
        tie_word_embeddings=True,
    )
    keeper = make_keeper(LlamaForCausalLM(config).train())
    use_fused_head(keeper.objective, True)
    rng = random.Random(0)
    batch = []
    for _ in range(rows):
        ids = torch.tensor([rng.randrange(3, vocab) for _ in range(length)])
        labels = ids.clone()
        labels[: length // 3] = -100
        batch.append({"input_ids": ids, "labels": labels})
    # among as many rows as a fine-tune has
    others = [[n % 300 + 3, n // 300 + 3] for n in range(50_000)]
    known = [one["input_ids"].tolist() for one in batch]
    marks = [one["labels"].tolist() for one in batch]
    table = tabulate(Dataset.from_dict({"input_ids": known + others, "labels": marks + others}))
    watch = RowWatch(keeper.objective, Ledger.empty(table.keys, table.targets), [], lambda: 0)
    return keeper, watch, batch


def timed(function: Callable[..., Any], spent: list[float]) -> Callable[..., Any]:
    def run(*args: Any) -> Any:
        began = time.thread_time()
        try:
            return function(*args)
        finally:
            spent.append(time.thread_time() - began)

    return run


@pytest.mark.parametrize(("shape", "allowed"), [("demo", 0.10), ("small", 0.03)])
def test_the_ledger_takes_under_three_per_cent_of_a_step(shape: str, allowed: float, record_property: Any) -> None:
    """In the demo's tiny steps it may take a tenth: what it costs hardly grows with the model."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    keeper, watch, batch = make(shape)
    spent: list[float] = []
    keeper.before_step.append(timed(watch.begin_step, spent))
    keeper.objective.observe = timed(watch._observe, spent)
    shares = []
    for _ in range(7):
        spent.clear()
        began = time.thread_time()
        run_step(keeper, len(batch), batch)
        timed(watch.end_step, spent)()
        shares.append(sum(spent) / (time.thread_time() - began))
    torch.set_num_threads(threads)
    record_property("share of a step", f"{np.median(shares):.4f}")
    assert np.median(shares) < allowed, shares


class _Readings(TorchDispatchMode):
    """Counts what makes a host wait for its device: numbers read from tensors, and shapes that depend on them."""

    WAITING = ("_local_scalar_dense", "nonzero", "masked_select", "unique", "equal")

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[str] = []
        self.operations = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.operations += 1
        if any(name in func._schema.name for name in self.WAITING):
            self.waits.append(func._schema.name)
        return func(*args, **(kwargs or {}))


def test_a_micro_batch_never_waits_for_the_device() -> None:
    _, watch, batch = make("demo")
    whole = {name: torch.stack([row[name] for row in batch]) for name in ("input_ids", "labels")}
    whole["attention_mask"] = torch.ones_like(whole["input_ids"])
    whole["position_ids"] = torch.arange(32).repeat(16, 1)
    watch._trusted = torch.tensor([1, 2])
    with _Readings() as found:
        watch.begin_step([whole])
        watch._observe(torch.rand(16 * 32))
    assert found.waits == []
    assert found.operations < 100
