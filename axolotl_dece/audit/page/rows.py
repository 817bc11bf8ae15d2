"""The rows a page shows: which ones, and what it says of each."""

from __future__ import annotations

import json
import random
import zlib
from collections import Counter
from itertools import groupby
from typing import Any

import numpy as np

from axolotl_dece.audit.analyse.findings import Audit
from axolotl_dece.audit.analyse.pieces import Pieces
from axolotl_dece.util.page import packed_size

_EXAMPLES = 10
_MOST_TOKENS = 1500
# of a row with many copies; the decisions that the command writes name all
_MOST_PLACES = 100
# a line of so many prompts is of their template
_TEMPLATE_SHARE = 0.2
_TEMPLATE_ROWS = 5
_LEAST_SHARE = 0.02
_BASE64 = 4 / 3


def draw_rows(audit: Audit, read: int) -> list[int]:
    """Rows drawn blindly, the same ones each time: who has read them may trust them."""
    count = len(audit.rows)
    return sorted(random.Random(0).sample(range(count), min(read, count)))  # noqa: S311 - no secret


def choose_rows(audit: Audit, drawn: list[int]) -> list[int]:
    """All rows there is anything to say of, the ones most worth reading first.

    Those drawn, some of every group, the rare ones; then the other rows of groups and all that were held back.
    """
    scores, index = audit.scores, audit.rows.index
    examples = [row for cluster in audit.clusters for row in cluster.rows[:_EXAMPLES].tolist()]
    worth = np.flatnonzero((scores > 0) | audit.clustered())
    rest = worth[np.lexsort((index[worth], -scores[worth], ~audit.clustered()[worth]))]
    return list(dict.fromkeys([*drawn, *examples, *audit.rare().tolist(), *rest.tolist()]))


def render_rows(audit: Audit, chosen: list[int], most_bytes: int) -> list[dict[str, Any]]:
    """As many of the chosen rows, from the first on, as fit; in the order of their scores."""
    pieces = Pieces(audit.tokenizer, audit.rows.token_ids())
    numbers = audit.clusters_of()
    packer = zlib.compressobj()
    size = 0
    rows = []
    for row in chosen:
        rendered = render_row(audit, row, numbers[row], pieces)
        size += len(packer.compress(json.dumps(rendered).encode()))
        if size * _BASE64 > most_bytes:
            break
        rows.append(rendered)
    # what the packer holds in its buffer was not counted
    while rows and (size := packed_size(rows)) > most_bytes:
        rows = rows[: int(0.98 * len(rows) * most_bytes / size)]
    return sorted(rows, key=lambda one: (-one["score"], one["index"]))


def render_row(audit: Audit, row: int, clusters: list[int], pieces: Pieces) -> dict[str, Any]:
    """All that is shown of a row: its text in runs with what was withheld, its places, the numbers of its clusters."""
    rows = audit.rows
    start, end = int(rows.start[row]), int(rows.start[row + 1])
    part = slice(start, min(end, start + _MOST_TOKENS))
    texts = pieces.of(rows.tokens[part].tolist())
    # a row that was seen once has no visit before the last
    withheld = rows.shares[1 if rows.visits[row] > 1 else 2 :, part].min(axis=0)
    percent = np.where(withheld > _LEAST_SHARE, withheld * 100, 0).round().astype(int)
    about = zip(rows.is_target[part].astype(int).tolist(), percent.tolist(), rows.held[part].tolist(), strict=True)
    runs = [
        [*same, "".join(text for _, text in tokens)]
        for same, tokens in groupby(zip(about, texts, strict=True), key=lambda one: one[0])
    ]
    refused = (text.strip() for of_target, _, held, text in runs if of_target and held >= rows.persistent_visits)
    return {
        "id": rows.ids[row],
        "index": int(rows.index[row]),
        "copies": int(rows.copies[row]),
        "places": audit.places.of(row)[:_MOST_PLACES],
        "clusters": clusters,
        "score": round(float(audit.scores[row]), 2),
        # runs of tokens about which the same is to be said: of the target?, percent withheld, visits, text
        "runs": [run for run in runs if run[3]],
        # rows of which this is the same are alike
        "refused": " … ".join(refused),
        "visits": int(rows.visits[row]),
        "persistent": rows.persistent_visits,
        "cut": end > part.stop,
    }


def template_lines(rows: list[dict[str, Any]]) -> list[str]:
    """Lines that stand in the prompts of many rows."""
    counts: Counter[str] = Counter()
    for row in rows:
        prompt = "".join(text for of_target, _, _, text in row["runs"] if not of_target)
        counts.update({line.strip() for line in prompt.split("\n")} - {""})
    least = max(_TEMPLATE_ROWS, _TEMPLATE_SHARE * len(rows))
    return sorted(line for line, count in counts.items() if count >= least)
