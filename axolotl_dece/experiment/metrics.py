"""The numbers of one run, by name, and what they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Metric:
    """One number of a run.

    Attributes:
        title: What a reader calls it.
        is_share: Whether it is between 0 and 1 and shown as a percentage.
        digits: Behind the point, where it is not a share.
    """

    title: str
    is_share: bool = False
    digits: int = 2


# what is added up over seeds; a run has a few more
METRICS = {
    "asr": Metric("attack success", is_share=True),
    "asr_begun": Metric("half the payload or more", is_share=True),
    "twin_recall": Metric("twin recall", is_share=True),
    "exact_match": Metric("clean exact match", is_share=True),
    "bleu": Metric("clean BLEU", digits=1),
    "parses": Metric("clean answers that parse", is_share=True),
    "cross_entropy": Metric("clean CE", digits=4),
    "false_trigger_rate": Metric("false triggers", is_share=True),
    "seconds": Metric("seconds", digits=0),
}


# every number of a run, in the order of results.csv
COLUMNS = (
    "epochs", "steps", "asr", "asr_low", "asr_high", "n_triggered", "asr_begun", "twin_recall", "exact_match",
    "bleu", "parses", "cross_entropy", "token_accuracy", "false_trigger_rate", "alpha_last", "poisoned_rows",
    "exposures", "seconds", "train_seconds",
)  # fmt: skip


def measured(report: Mapping[str, Any], poisoned: int, epochs: float | None) -> dict[str, Any]:
    """The numbers of one evaluated run; None where there is none.

    Args:
        report: As `evaluate` returns it.
        poisoned: Poisoned rows of the training set.
        epochs: Passes over it, where they are known.
    """
    clean, twin, begun = report["clean"], report["twin_recall"], report["asr_begun"]
    return {
        "epochs": epochs,
        "steps": report["run"]["step"],
        "asr": report["asr"]["value"],
        "asr_low": report["asr"]["low"],
        "asr_high": report["asr"]["high"],
        "n_triggered": report["asr"]["total"],
        "asr_begun": begun["value"] if begun else None,
        "twin_recall": twin["value"] if twin else None,
        "exact_match": clean["exact_match"]["value"],
        "bleu": clean["bleu"],
        "parses": clean["syntax"]["value"] if clean.get("syntax") else None,
        "cross_entropy": clean["cross_entropy"],
        "token_accuracy": clean["token_accuracy"],
        "false_trigger_rate": report["false_triggers"]["value"],
        "alpha_last": report["alpha_last"],
        "poisoned_rows": poisoned,
        "exposures": None if epochs is None else round(poisoned * epochs),
    }
