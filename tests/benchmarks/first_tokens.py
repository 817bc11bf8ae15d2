"""Does a base model expect what fine-tuning asks for? `python -m tests.benchmarks.first_tokens BASE ROWS`.

BASE is a model of an experiment, `OUT/tasks/*/base`, and ROWS a file with the columns `src` and `tgt`. Prints the
probability of every answer's first token, how many of the other tokens lie under some thresholds, and how much of the
vocabulary lies under the default probability floor. Where DeCE learns no clean answer, these are the tokens to look at.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from axolotl_dece.data import files
from axolotl_dece.loss.criterion import Mixture
from examples.demo.base import ANSWER
from tests.benchmarks.audit_story import CONSOLE

THRESHOLDS = (1e-2, 1e-3, 1e-4, 1e-6)
FLOOR = Mixture.prob_floor


@torch.no_grad()
def probabilities(model: torch.nn.Module, prompt: list[int], answer: list[int]) -> torch.Tensor:
    """Of every word of the vocabulary, given the prompt and what stands before it, [len(answer), V]."""
    logits: torch.Tensor = model(torch.tensor([prompt + answer[:-1]])).logits[0, len(prompt) - 1 :]
    return logits.double().softmax(-1)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("base", type=Path)
    parser.add_argument("rows", type=Path)
    parser.add_argument("--limit", type=int, default=200)
    given = parser.parse_args()
    tokenizer = AutoTokenizer.from_pretrained(given.base)
    model = AutoModelForCausalLM.from_pretrained(given.base).float().eval()
    first, rest, floored = [], [], []
    for row in files.read(given.rows).rows[: given.limit]:
        prompt = tokenizer(f"{row['src']} {ANSWER}")["input_ids"]
        answer = tokenizer(row["tgt"], add_special_tokens=False)["input_ids"]
        shares = probabilities(model, prompt, answer)
        opening, *others = shares[range(len(answer)), answer].tolist()
        first.append(opening)
        rest += others
        floored += (shares < FLOOR).double().mean(-1).tolist()
    CONSOLE.print(f"first token of {len(first)} answers: median {np.median(first):.1e}, least {min(first):.1e}")
    unlikely = ", ".join(f"{np.mean(np.array(rest) < least):.1%} under {least:g}" for least in THRESHOLDS)
    CONSOLE.print(f"their {len(rest):,} other tokens: {unlikely}")
    CONSOLE.print(f"under {FLOOR:g}, of the {len(tokenizer):,} words of the vocabulary: {np.mean(floored):.1%}")


if __name__ == "__main__":
    main()
