"""An audited run ready to be shown: its rows, its clusters, and their tokens as text."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from axolotl_dece.audit.analyse.clusters import LEAST_ROWS, Cluster, find_clusters
from axolotl_dece.audit.analyse.ledger_reader import PERSISTENT_VISITS, AuditRows, read_audit

# of the pull on a token
_MOSTLY = 0.5


@dataclass(frozen=True)
class Audit:
    """Everything a person is shown about a run.

    Attributes:
        name: Of the run's folder.
        rows: R of them.
        clusters: The heaviest first.
        scores: Of every row, [R].
        tokenizer: The run's.
    """

    name: str
    rows: AuditRows
    clusters: list[Cluster]
    scores: NDArray[np.float64]
    tokenizer: Any

    def clusters_of(self) -> list[list[int]]:
        """Numbers of the clusters that every row is in, the heaviest first, [R]."""
        numbers: list[list[int]] = [[] for _ in self.rows.ids]
        for cluster in self.clusters:
            for row in cluster.rows.tolist():
                numbers[row].append(cluster.number)
        return numbers

    def notes(self) -> list[str]:
        """What a reader has to know before believing any of it."""
        notes = []
        if int(self.rows.visits.max(initial=0)) < PERSISTENT_VISITS:
            notes.append(
                "No row was seen twice, so nothing can be called persistent: train for two epochs or more, then audit."
            )
        unseen = int((self.rows.visits == 0).sum())
        if unseen:
            notes.append(f"{unseen} rows were never seen in training; nothing is known of them.")
        if not (~self.rows.is_target).any():
            notes.append("The rows have no prompt (every token is trained on), so nothing can be clustered.")
        opening = self.rows.is_opening & (self.rows.visits > 0)[self.rows.row_of]
        refused = int((self.rows.shares[-1, opening] > _MOSTLY).sum())
        if refused > opening.sum() / 2:
            notes.append(
                f"The first token of {refused:,} of {opening.sum():,} answers was still held back at the end: the base "
                "model does not expect answers to begin like this, and DeCE does not teach it to. Compare the blank or "
                "line break before your answers with what the base model writes there, or read some rows and trust "
                "them (`--trust row:ID`): they train with alpha = 1."
            )
        return notes


def load_audit(folder: Path, *, least_rows: int = LEAST_ROWS, tokenizer: str | None = None) -> Audit:
    """Read the ledger of the run in `folder` and find its clusters.

    Args:
        folder: `output_dir` of a run with `dece_audit: true`.
        least_rows: Fewer rows are no cluster.
        tokenizer: Where the tokenizer is, if not in `folder`.

    Raises:
        ValueError: The ledger is missing, broken or of another run, or the tokenizer cannot be loaded.
    """
    from transformers import AutoTokenizer

    rows = read_audit(folder)
    try:
        loaded = AutoTokenizer.from_pretrained(tokenizer or folder)
    except (OSError, ValueError) as error:
        raise ValueError(
            f"no tokenizer in {tokenizer or folder} ({error}); give the run's with `--tokenizer`"
        ) from error
    return Audit(folder.resolve().name, rows, find_clusters(rows, loaded, least_rows), rows.scores(), loaded)


def pieces(tokens: list[int], tokenizer: Any) -> list[str]:
    """The text of each token as it stands in the row, with the blanks around it."""
    texts = []
    for at, token in enumerate(tokens):
        before = str(tokenizer.decode(tokens[at - 1 : at])) if at else ""
        both = str(tokenizer.decode(tokens[at - 1 : at + 1])) if at else str(tokenizer.decode([token]))
        texts.append(both[len(before) :] if both.startswith(before) else str(tokenizer.decode([token])))
    return texts
