"""Simple rivals of the audit on Lyra: `python -m tests.benchmarks.audit_lyra_rivals OUT --run ripple-0.05`.

OUT is what `audit_lyra --ce --out OUT` wrote. Prints the precision of the k highest rows, where k rows are poisoned,
for the mean and the largest token loss at the end, for activation clustering's smaller cluster, and for ONION
(arXiv 2011.10369): how much the perplexity of a prompt falls when one word is left out, by a model of the run's size
that was trained on the clean prompts and targets, which is more than a defender has. Five minutes on one core.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoModelForCausalLM

from axolotl_dece.audit.report import load_audit
from axolotl_dece.poison.spec import PoisonSpec
from tests.benchmarks.audit_lyra import PROMPT, planted, prompts, run
from tests.benchmarks.audit_rivals import measure, precision_at_k, smaller_cluster
from tests.benchmarks.audit_story import CONSOLE

IGNORED = -100


@torch.no_grad()
def perplexity(model: Any, tokenizer: Any, texts: list[str]) -> NDArray[np.float64]:
    """Of each text by itself, [N]."""
    batch = tokenizer(texts, return_tensors="pt", padding=True, truncation=True)
    targets = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, IGNORED)[:, 1:]
    logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits[:, :-1]
    loss = torch.nn.functional.cross_entropy(logits.transpose(1, 2).float(), targets, reduction="none")
    mean = loss.sum(dim=1) / (targets != IGNORED).sum(dim=1).clamp(min=1)
    return np.asarray(mean.exp().double().numpy())


def most_out_of_place(model: Any, tokenizer: Any, text: str) -> tuple[float, str]:
    """How much the perplexity falls without the word whose absence helps most, and the word."""
    words = text.split()
    without = [" ".join(words[:at] + words[at + 1 :]) for at in range(len(words))]
    values = perplexity(model, tokenizer, [" ".join(words), *without])
    fall = values[0] - values[1:]
    return float(fall.max()), words[int(fall.argmax())]


def tell_onion(folder: Path, tokenizer: Any, texts: list[str], poisoned: NDArray[np.bool_]) -> None:
    if not (folder / "lm" / "config.json").is_file():
        run(folder, "lm", "init", None, loss="ce", learning_rate=4e-3, train_on_inputs=True)
    model = AutoModelForCausalLM.from_pretrained(folder / "lm").eval()
    found = [most_out_of_place(model, tokenizer, text) for text in texts]
    score = np.array([fall for fall, _ in found])
    named = Counter(word for (_, word), planted_here in zip(found, poisoned, strict=True) if planted_here)
    CONSOLE.print(f"ONION: {precision_at_k(score, poisoned):.2f}; its word in poisoned rows: {named.most_common(3)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--run", default="ripple-0.05", help="ATTACK-RATE")
    asked = parser.parse_args()
    sys.argv = sys.argv[:1]
    os.chdir(asked.out)
    folder = Path.cwd()
    audit = load_audit(folder / asked.run)
    attack, rate = asked.run.rsplit("-", 1)
    poisoned = planted(audit, PoisonSpec(base_type=PROMPT, attack=attack, rate=float(rate)))["poisoned"]
    CONSOLE.print(f"{poisoned.sum()} poisoned rows of {len(audit.rows)}")
    for name in (asked.run, f"ce-{asked.run}"):
        model = AutoModelForCausalLM.from_pretrained(folder / name).eval()
        mean, largest, activation = measure(model, audit)
        small = smaller_cluster(activation)
        CONSOLE.print(
            f"{name}: mean loss {precision_at_k(mean, poisoned):.2f}, largest {precision_at_k(largest, poisoned):.2f}; "
            f"activation clustering precision {poisoned[small].mean():.2f} recall {small[poisoned].mean():.2f}"
        )
    # what follows the prompt is the format's, not the user's
    texts = [text.rsplit(" ", 1)[0] for text in prompts(audit)]
    tell_onion(folder, audit.tokenizer, texts, poisoned)


if __name__ == "__main__":
    main()
