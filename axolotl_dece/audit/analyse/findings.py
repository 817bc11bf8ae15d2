"""An audited run ready to be shown: its rows, its clusters, and what to say of them first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import compress, pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from axolotl_dece.audit import LEDGER_FILE
from axolotl_dece.audit.analyse.clusters import LEAST_ROWS, Cluster, find_clusters
from axolotl_dece.audit.analyse.ledger_reader import AuditRows, read_audit
from axolotl_dece.audit.analyse.pieces import Pieces
from axolotl_dece.audit.analyse.places import Places, find_places
from axolotl_dece.audit.released import say_release
from axolotl_dece.util.digest import file_digest

# of the pull on a token
_MOSTLY = 0.5

# Tukey's fence: so many interquartile ranges above the upper quartile a value stands out
_FENCE = 1.5


@dataclass(frozen=True)
class Audit:
    """Everything a person is shown about a run.

    Attributes:
        name: Of the run's folder.
        rows: R of them.
        clusters: The heaviest first.
        scores: Of every row, [R].
        tokenizer: The run's.
        ledger: sha256 of the ledger's file.
        places: Where the rows stand in their files.
    """

    name: str
    rows: AuditRows
    clusters: list[Cluster]
    scores: NDArray[np.float64]
    tokenizer: Any
    ledger: str
    places: Places = field(default_factory=Places)

    def texts(self) -> Iterator[tuple[str, str]]:
        """Prompt and target of every row; whatever is not trained on is prompt."""
        rows, pieces = self.rows, Pieces(self.tokenizer, self.rows.token_ids())
        for begin, end in pairwise(rows.start.tolist()):
            texts = pieces.of(rows.tokens[begin:end].tolist())
            trained = rows.is_target[begin:end].tolist()
            prompt, target = ("".join(compress(texts, [is_on == of for is_on in trained])) for of in (False, True))
            yield prompt, target

    def clusters_of(self) -> list[list[int]]:
        """Numbers of the clusters that every row is in, the heaviest first, [R]."""
        numbers: list[list[int]] = [[] for _ in self.rows.ids]
        for cluster in self.clusters:
            for row in cluster.rows.tolist():
                numbers[row].append(cluster.number)
        return numbers

    def clustered(self) -> NDArray[np.bool_]:
        """Which rows are in a cluster, [R]."""
        found = np.zeros(len(self.rows), bool)
        for cluster in self.clusters:
            found[cluster.rows] = True
        return found

    def rare(self) -> NDArray[np.int64]:
        """Rows in no cluster whose scores stand out among such rows (Tukey's fence), the highest first."""
        others = np.flatnonzero(~self.clustered())
        if not len(others):
            return others
        scores = self.scores[others]
        lower, upper = np.quantile(scores, (0.25, 0.75))
        found = others[scores > upper + _FENCE * (upper - lower)]
        order: NDArray[np.int64] = found[np.lexsort((self.rows.index[found], -self.scores[found]))]
        return order

    def count(self, rows: NDArray[Any]) -> str:
        """How many rows these are, in the training set too: `8 rows, 12 copies`."""
        return count_rows(len(rows), int(self.rows.copies[rows].sum()))

    def headline(self) -> str:
        """What was found, in a sentence."""
        if not self.rows.visits.any():
            return "Nothing can be said yet: no row was seen."
        groups, rare = len(self.clusters), self.rare()
        planted = f"{groups} group{'s look' if groups != 1 else ' looks'} planted, "
        planted = planted + self.count(np.flatnonzero(self.clustered())) if groups else "No group looks planted"
        look = f"{len(rare):,} rare row{'s' if len(rare) != 1 else ''} to look at"
        return f"{planted}; {look if len(rare) else 'no rare row stands out'}."

    def notes(self) -> list[str]:
        """What a reader has to know before believing any of it."""
        notes = []
        if release := self.rows.facts.get("release"):
            notes.append(
                f"{say_release(release).capitalize()} (`dece_release`). To drop a group keeps its rows out of the next "
                "run from the start; to trust it brings them back."
            )
        if self.rows.persistent_visits == 1:
            notes.append(
                "No row was seen twice, so what was refused once counts. After two epochs it takes two refusals."
            )
        unseen = int((self.rows.visits == 0).sum())
        if unseen:
            notes.append(f"{unseen} rows were never seen in training; nothing is known of them.")
        if not (~self.rows.is_target).any():
            notes.append("The rows have no prompt (every token is trained on), so nothing can be clustered.")
        opening = np.flatnonzero(self.rows.is_opening)
        seen = np.repeat(self.rows.visits > 0, np.diff(self.rows.start))
        opening = opening[seen[opening]]
        refused = int((self.rows.shares[-1, opening] > _MOSTLY).sum())
        if refused > len(opening) / 2:
            notes.append(
                f"The first token of {refused:,} of {len(opening):,} answers was still held back at the end: the base "
                "model does not expect answers to begin like this, and DeCE does not teach it to. Compare the blank or "
                "line break before your answers with what the base model writes there, or read some rows and trust "
                "them (`--trust FILE:LINE`): they train as under cross-entropy."
            )
        return notes + self.places.notes()


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
    clusters = find_clusters(rows, loaded, least_rows)
    places = find_places(rows, loaded)
    ledger = file_digest(folder / LEDGER_FILE)
    return Audit(folder.resolve().name, rows, clusters, rows.scores(), loaded, ledger, places)


def count_rows(rows: int, copies: int) -> str:
    """Different rows, and how often they occur together where that is more: `8 rows, 12 copies`."""
    counted = f"{rows:,} row{'s' if rows != 1 else ''}"
    return counted if copies == rows else f"{counted}, {copies:,} copies"
