"""The audit as one HTML page: what was held back, in which rows, and the means to decide."""

from __future__ import annotations

import html
import random
from pathlib import Path
from typing import Any

import numpy as np

from axolotl_dece.audit.analyse.findings import Audit, pieces
from axolotl_dece.audit.page.charts import charts
from axolotl_dece.util.atomic import write_text_atomically
from axolotl_dece.util.page import MAX_BYTES, fill_page

_HERE = Path(__file__).parent
_MOST_ROWS = 2000
_MOST_TOKENS = 1500


def write_page(audit: Audit, path: Path, read: int = 100) -> Path:
    """Write the page of an audit; it shows fewer rows where it would grow beyond `MAX_BYTES`.

    Args:
        audit: The run.
        path: The file.
        read: Rows to draw for a person to read, whatever was held back in them.
    """
    most = _MOST_ROWS
    page = _render(audit, most, read)
    while len(page.encode()) > MAX_BYTES and most > 1:
        most //= 2
        page = _render(audit, most, min(read, most))
    write_text_atomically(path, page)
    return path


def _render(audit: Audit, most: int, read: int) -> str:
    drawn = _draw(audit, read)
    content = {
        "clusters": _clusters(audit),
        "rows": _rows(audit, most, drawn),
        "drawn": [audit.rows.ids[row] for row in drawn],
        "charts": charts(audit),
    }
    parts = {"name": html.escape(audit.name), "summary": _summary(audit, most)}
    return fill_page(_HERE, "axolotl-dece: what the loss held back", content, **parts)


def _draw(audit: Audit, read: int) -> list[int]:
    """Rows drawn blindly, the same ones each time: who has read them may trust them."""
    count = len(audit.rows)
    return sorted(random.Random(0).sample(range(count), min(read, count)))  # noqa: S311 - no secret


def _summary(audit: Audit, most: int) -> str:
    held = int((audit.scores > 0).sum())
    seen = int(audit.rows.visits.max(initial=0))
    lines = [
        f"{len(audit.rows)} different rows, each seen up to {seen} times. {held} of them hold target tokens that the "
        f"loss refused at two visits or more while the rest of the row was learned. Clusters: {len(audit.clusters)}."
    ]
    if held > most:
        lines.append(f"The {most} rows with the highest scores are shown; decisions about clusters reach all of them.")
    return "\n".join(f"<p>{html.escape(line)}</p>" for line in lines + audit.notes())


def _clusters(audit: Audit) -> list[dict[str, Any]]:
    return [
        {
            "number": cluster.number,
            "ids": [audit.rows.ids[row] for row in cluster.rows.tolist()],
            "span": cluster.span,
            "spans": [[text, count] for text, count in cluster.spans],
            "cues": [[cue.text, cue.inside, cue.reach] for cue in cluster.cues],
            "log10_p": cluster.log10_p,
            "weight": cluster.weight,
        }
        for cluster in audit.clusters
    ]


def _rows(audit: Audit, most: int, drawn: list[int]) -> list[dict[str, Any]]:
    """The rows with the highest scores and those drawn, with the tokens of prompt and target."""
    numbers = audit.clusters_of()
    order = np.lexsort((audit.rows.index, -audit.scores)).tolist()
    order = [row for row in order if audit.scores[row] > 0 or numbers[row]][:most]
    return [_row(audit, row, numbers[row]) for row in dict.fromkeys(order + drawn)]


def _row(audit: Audit, row: int, clusters: list[int]) -> dict[str, Any]:
    rows = audit.rows
    part = slice(int(rows.start[row]), int(rows.start[row + 1]))
    whole = part.stop - part.start
    part = slice(part.start, min(part.stop, part.start + _MOST_TOKENS))
    lasting = np.minimum(rows.shares[1, part], rows.shares[2, part]).round(2)
    return {
        "id": rows.ids[row],
        "index": int(rows.index[row]),
        "copies": int(rows.copies[row]),
        "clusters": clusters,
        "score": round(float(audit.scores[row]), 2),
        "text": pieces(rows.tokens[part].tolist(), audit.tokenizer),
        "target": rows.is_target[part].astype(int).tolist(),
        "share": lasting.tolist(),
        "held": rows.held[part].tolist(),
        "visits": int(rows.visits[row]),
        "cut": whole > _MOST_TOKENS,
    }
