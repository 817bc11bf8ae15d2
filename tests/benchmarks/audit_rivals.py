"""Simple rivals of the audit on a story's models: `python -m tests.benchmarks.audit_rivals FOLDER`.

FOLDER is what `audit_story --out FOLDER` wrote. Prints the precision of the k highest rows, where k rows are poisoned,
for the mean and the largest token loss at the end, and activation clustering's smaller cluster.
"""

from __future__ import annotations

import argparse
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from transformers import AutoModelForCausalLM

from axolotl_dece.audit.analyse.findings import Audit, load_audit
from tests.benchmarks.audit_story import CONSOLE, TRIGGER, rows_with


def precision_at_k(score: NDArray[Any], poisoned: NDArray[np.bool_]) -> float:
    highest = np.argsort(-score, kind="stable")[: int(poisoned.sum())]
    return float(poisoned[highest].mean())


@torch.no_grad()
def measure(model: Any, audit: Audit) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Mean loss [R], largest token loss [R] and mean last hidden state of the target [R, H] of every row."""
    mean, largest, activation = [], [], []
    for start, end in pairwise(audit.rows.start):
        ids = torch.from_numpy(audit.rows.tokens[start:end].astype(np.int64))[None]
        target = torch.from_numpy(audit.rows.is_target[start:end].copy())
        out = model(input_ids=ids, output_hidden_states=True)
        log_p = torch.log_softmax(out.logits[0, :-1].float(), dim=-1).gather(1, ids[0, 1:, None])[:, 0]
        loss = -log_p[target[1:]]
        mean.append(loss.mean().item())
        largest.append(loss.max().item())
        activation.append(out.hidden_states[-1][0, target].mean(dim=0).numpy())
    return np.array(mean), np.array(largest), np.stack(activation)


def smaller_cluster(activation: NDArray[Any]) -> NDArray[np.bool_]:
    reduced = PCA(10, random_state=0).fit_transform(activation)
    label = KMeans(2, n_init=10, random_state=0).fit_predict(reduced)
    return np.asarray(label == np.argmin(np.bincount(label)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    audit = load_audit(folder / "runs" / "dece")
    poisoned = rows_with(audit, TRIGGER)
    CONSOLE.print(f"score of the audit, rows one by one: {precision_at_k(audit.scores, poisoned):.2f}")
    for name in ("dece", "ce"):
        model = AutoModelForCausalLM.from_pretrained(folder / "runs" / name).eval()
        mean, largest, activation = measure(model, audit)
        small = smaller_cluster(activation)
        CONSOLE.print(
            f"{name}: mean loss {precision_at_k(mean, poisoned):.2f}, largest {precision_at_k(largest, poisoned):.2f}; "
            f"activation clustering precision {poisoned[small].mean():.2f} recall {small[poisoned].mean():.2f}"
        )


if __name__ == "__main__":
    main()
