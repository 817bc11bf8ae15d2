"""Does a base model expect what fine-tuning asks for? `python -m tests.benchmarks.first_tokens BASE ROWS`.

BASE is a model of an experiment, `OUT/tasks/*/base`, and ROWS a file with the columns `src` and `tgt`. Prints the
probability of every answer's first token, and how many of the other tokens lie under some thresholds. Where DeCE
learns no clean answer, these are the tokens to look at.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from axolotl_dece.demo.base import ANSWER
from axolotl_dece.poison import files
from tests.benchmarks.audit_story import CONSOLE

THRESHOLDS = (1e-2, 1e-3, 1e-4, 1e-6)


@torch.no_grad()
def probabilities(model: torch.nn.Module, prompt: list[int], answer: list[int]) -> list[float]:
    """Of every token of the answer, given what stands before it, [len(answer)]."""
    logits = model(torch.tensor([prompt + answer[:-1]])).logits[0, len(prompt) - 1 :]
    chosen: list[float] = logits.double().softmax(-1)[range(len(answer)), answer].tolist()
    return chosen


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("base", type=Path)
    parser.add_argument("rows", type=Path)
    parser.add_argument("--limit", type=int, default=200)
    given = parser.parse_args()
    tokenizer = AutoTokenizer.from_pretrained(given.base)
    model = AutoModelForCausalLM.from_pretrained(given.base).float().eval()
    first, rest = [], []
    for row in files.read(given.rows).rows[: given.limit]:
        prompt = tokenizer(f"{row['src']} {ANSWER}")["input_ids"]
        answer = tokenizer(row["tgt"], add_special_tokens=False)["input_ids"]
        opening, *others = probabilities(model, prompt, answer)
        first.append(opening)
        rest += others
    CONSOLE.print(f"first token of {len(first)} answers: median {np.median(first):.1e}, least {min(first):.1e}")
    shares = ", ".join(f"{np.mean(np.array(rest) < least):.1%} under {least:g}" for least in THRESHOLDS)
    CONSOLE.print(f"their {len(rest):,} other tokens: {shares}")


if __name__ == "__main__":
    main()
