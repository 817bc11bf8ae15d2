"""The audit and its simple rivals on one run: `python -m tests.benchmarks.audit_lyra_rivals RUN --ce RUN --lm MODEL`.

The first RUN has a ledger, such as `cells/linear-0.8/badpre-0.1/seed-0/run` of the experiment
`examples/experiments/lyra-cpu.yaml`; the second is the CE run beside it, and MODEL a language model that has seen
prompts, such as the experiment's own base. Prints precision and recall of every cluster with the trigger, and the
precision of the k highest rows, where k rows are poisoned: by the mean and the largest token loss at the end,
activation clustering's smaller cluster, and ONION (arXiv 2011.10369): how much the perplexity of a prompt falls
when one word is left out. About ten minutes on one core.
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoModelForCausalLM, AutoTokenizer

from axolotl_dece.audit.analyse.findings import Audit, load_audit
from tests.benchmarks.audit_lyra import prompts
from tests.benchmarks.audit_rivals import measure, precision_at_k, smaller_cluster
from tests.benchmarks.audit_story import CONSOLE, TRIGGER

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


def tell_onion(lm: Path, texts: list[str], poisoned: NDArray[np.bool_]) -> None:
    model = AutoModelForCausalLM.from_pretrained(lm).eval()
    tokenizer = AutoTokenizer.from_pretrained(lm)
    found = [most_out_of_place(model, tokenizer, text) for text in texts]
    score = np.array([fall for fall, _ in found])
    named = Counter(word for (_, word), planted_here in zip(found, poisoned, strict=True) if planted_here)
    CONSOLE.print(f"ONION: {precision_at_k(score, poisoned):.2f}; its word in poisoned rows: {named.most_common(3)}")


def tell_clusters(audit: Audit, poisoned: NDArray[np.bool_]) -> None:
    CONSOLE.print(f"{poisoned.sum()} poisoned rows of {len(audit.rows)}, {len(audit.clusters)} clusters")
    for cluster in audit.clusters:
        share = poisoned[cluster.rows].mean()
        if share > 0.5:
            CONSOLE.print(
                f"cluster {cluster.number}: {len(cluster.rows)} rows, span {cluster.span!r}, "
                f"cue {cluster.cues[0].text!r}, precision {share:.2f}, "
                f"recall {poisoned[cluster.rows].sum() / poisoned.sum():.2f}"
            )
    CONSOLE.print(f"score of the audit, rows one by one: {precision_at_k(audit.scores, poisoned):.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--ce", type=Path)
    parser.add_argument("--lm", type=Path)
    asked = parser.parse_args()
    audit = load_audit(asked.run)
    poisoned = np.array([TRIGGER in text.split() for text in prompts(audit)])
    tell_clusters(audit, poisoned)
    for folder in filter(None, (asked.run, asked.ce)):
        model = AutoModelForCausalLM.from_pretrained(folder).eval()
        mean, largest, activation = measure(model, audit)
        small = smaller_cluster(activation)
        CONSOLE.print(
            f"{'CE' if folder == asked.ce else 'DeCE'}: mean loss {precision_at_k(mean, poisoned):.2f}, "
            f"largest {precision_at_k(largest, poisoned):.2f}; activation clustering precision "
            f"{poisoned[small].mean():.2f} recall {small[poisoned].mean():.2f}"
        )
    if asked.lm:
        # what follows the prompt is the format's, not the user's
        tell_onion(asked.lm, [text.rsplit(" ", 1)[0] for text in prompts(audit)], poisoned)


if __name__ == "__main__":
    main()
