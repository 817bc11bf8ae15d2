"""Which rows the loss held back: a ledger kept while training, clusters found in it, decisions made on them."""

from __future__ import annotations

from pathlib import Path

ACCOUNT_FILE = "dece_decisions.json"
LEDGER_FILE = "_dece_ledger.parquet"
RELEASE_FILE = "_dece_release.json"
REVIEW_FILE = "_dece_review.jsonl"
EXPORT_SUFFIXES = (".parquet", ".jsonl")


def refuse_missing_ledger(path: Path) -> None:
    """ValueError where there is none; imports nothing, so that a command says it at once."""
    if not path.exists():
        raise ValueError(f"there is no ledger at {path}; train with `dece_audit: true`")
