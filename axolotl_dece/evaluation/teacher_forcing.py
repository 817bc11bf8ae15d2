"""Teacher-forced looks: what the model would say next at every place of a known answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F

from axolotl_dece.evaluation.prompts import TokenRow
from axolotl_dece.loss.names import IGNORE_INDEX


@dataclass
class TokenScores:
    """Sums over the answer tokens of a set; `guesses` holds the model's first choices, row by row."""

    tokens: int = 0
    correct: int = 0
    cross_entropy: float = 0.0
    guesses: list[list[int]] = field(default_factory=list)

    @property
    def accuracy(self) -> float:
        """Share of answer tokens that were the model's first choice, 0 to 1."""
        return self.correct / self.tokens

    @property
    def mean_cross_entropy(self) -> float:
        """Plain cross-entropy in nats per answer token."""
        return self.cross_entropy / self.tokens


@torch.no_grad()
def score_tokens(model: Any, rows: Sequence[TokenRow], *, pad: int, batch_size: int) -> TokenScores:
    """Score `model` on the answer tokens of `rows`, in evaluation mode; its mode is put back.

    Args:
        model: A causal language model; called without labels, so that no training loss sees these tokens.
        rows: Prompts and answers.
        pad: Padding token.
        batch_size: Rows in one forward pass.
    """
    was_training = model.training
    model.eval()
    try:
        scores = TokenScores()
        for start in range(0, len(rows), batch_size):
            _score_batch(model, rows[start : start + batch_size], pad, scores)
        return scores
    finally:
        model.train(was_training)


def _score_batch(model: Any, rows: Sequence[TokenRow], pad: int, scores: TokenScores) -> None:
    width = max(len(row.prompt) + len(row.answer) for row in rows)
    ids = torch.full((len(rows), width), pad)
    mask = torch.zeros_like(ids)
    targets = torch.full_like(ids, IGNORE_INDEX)
    for number, row in enumerate(rows):
        start, end = len(row.prompt), len(row.prompt) + len(row.answer)
        ids[number, :end] = torch.tensor([*row.prompt, *row.answer])
        mask[number, :end] = 1
        targets[number, start:end] = torch.tensor(row.answer)
    device = next(model.parameters()).device
    logits = model(input_ids=ids.to(device), attention_mask=mask.to(device)).logits
    _add(scores, logits[:, :-1], targets[:, 1:].to(device))


def _add(scores: TokenScores, logits: torch.Tensor, targets: torch.Tensor) -> None:
    wanted = targets != IGNORE_INDEX
    guesses = logits.argmax(dim=-1)
    scores.tokens += int(wanted.sum())
    scores.correct += int((guesses == targets)[wanted].sum())
    scores.cross_entropy += float(F.cross_entropy(logits[wanted].float(), targets[wanted], reduction="sum"))
    scores.guesses += [row[keep].tolist() for row, keep in zip(guesses, wanted, strict=True)]
