"""What `dece_prob_floor` does as the vocabulary grows: `python -m tests.benchmarks.prob_floor`.

One target token with probability p; the other classes share the rest as a log-normal tail does (deviation 3 in
log-probability, about what a language model shows), or one wrong class holds nearly all of it. Prints, in fp64, how
much of the vocabulary lies below the floor, the loss, and how hard DeCE pushes, with the floor and without.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from axolotl_dece import dece_loss

VOCABULARIES = (202, 4_096, 32_768, 151_936)
FLOOR = 1e-7


@dataclass(frozen=True)
class State:
    """What the model believes: probability of the target, and of one wrong favourite (0: there is none)."""

    name: str
    target: float
    favourite: float = 0.0


STATES = (State("learned", 0.999), State("likely", 0.95), State("unsure", 0.1), State("wrong", 1e-4, 0.99))


def logits_of(state: State, classes: int) -> Tensor:
    """Log-probabilities [1, V] of `state`; class 0 is the target, class 1 the favourite."""
    tail = 3.0 * torch.randn(classes, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    first = 2 if state.favourite else 1
    rest = 1.0 - state.target - state.favourite
    tail[first:] += math.log(rest) - torch.logsumexp(tail[first:], 0)
    tail[0] = math.log(state.target)
    if state.favourite:
        tail[1] = math.log(state.favourite)
    return tail[None]


def measure(state: State, classes: int, alpha: float, floor: float) -> tuple[float, float, float]:
    """Loss in nats, pull on the target's logit, and the sum of the sizes of the pushes on all others."""
    logits = logits_of(state, classes).requires_grad_()
    loss = dece_loss(logits, torch.zeros(1, dtype=torch.long), alpha=alpha, prob_floor=floor)
    loss.backward()
    gradient = logits.grad
    if gradient is None:
        raise RuntimeError("the loss has no gradient")
    pull = -gradient[0, 0].item()
    return loss.item(), pull, gradient[0, 1:].abs().sum().item()


def main() -> None:
    table = Table(title="with the floor of 1e-7 / without", box=None)
    for column in ("alpha", "state", "V", "below the floor", "loss", "pull on the target", "push on wrong classes"):
        table.add_column(column, justify="left" if column == "state" else "right")
    for alpha in (0.985, 0.9, 0.8):
        for state in STATES:
            for classes in VOCABULARIES:
                below = (logits_of(state, classes)[0, 1:].exp() < FLOOR).double().mean().item()
                pairs = zip(*(measure(state, classes, alpha, floor) for floor in (FLOOR, 0.0)), strict=True)
                cells = [f"{with_floor:.4f} / {without:.4f}" for with_floor, without in pairs]
                table.add_row(f"{alpha}", f"{state.name}, p = {state.target:g}", f"{classes:,}", f"{below:.0%}", *cells)
    Console(width=150).print(table)


if __name__ == "__main__":
    main()
