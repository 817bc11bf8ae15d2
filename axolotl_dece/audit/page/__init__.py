"""The review page: one HTML file with the groups, the rows most worth reading, and the means to decide."""

from __future__ import annotations

import html
from pathlib import Path
from typing import Any

import numpy as np

from axolotl_dece.audit.analyse.clusters import Cluster
from axolotl_dece.audit.analyse.findings import Audit
from axolotl_dece.audit.page.rows import choose_rows, draw_rows, render_rows, template_lines
from axolotl_dece.audit.record.ledger import ranges
from axolotl_dece.util.atomic import write_text_atomically
from axolotl_dece.util.page import MAX_BYTES, fill_page, packed_size

_HERE = Path(__file__).parent
# what the page is without its content, and what compressing all rows at once may take more than one by one
_FRAME_BYTES = 150_000
# of tokens, for the mean of all that no cluster holds back
_SAMPLE = 1_000_000


def write_page(audit: Audit, path: Path, read: int = 100) -> Path:
    """Write the page of an audit, with as many rows as fit below `MAX_BYTES`.

    Args:
        audit: The run.
        path: The file.
        read: Rows to draw for a person to read, whatever was held back in them.
    """
    drawn = draw_rows(audit, read)
    content: dict[str, Any] = {
        "ledger": audit.ledger,
        "clusters": _clusters(audit, MAX_BYTES // 3),
        "drawn": [audit.rows.ids[row] for row in drawn],
        "total": len(audit.rows),
    }
    listed = {row for cluster in audit.clusters for row in cluster.rows.tolist()} | set(drawn)
    content["copies"] = {audit.rows.ids[at]: n for at in sorted(listed) if (n := int(audit.rows.copies[at])) > 1}
    left = MAX_BYTES - _FRAME_BYTES - packed_size(content)
    content["rows"] = render_rows(audit, choose_rows(audit, drawn), left)
    rare = {audit.rows.ids[row] for row in audit.rare().tolist()}
    content["rare"] = [row["id"] for row in content["rows"] if row["id"] in rare]
    content["template"] = template_lines(content["rows"])
    parts = {"name": html.escape(audit.name), "summary": _summary(audit)}
    page = fill_page(_HERE, "axolotl-dece: review of what the loss held back", content, **parts)
    write_text_atomically(path, page)
    return path


def _summary(audit: Audit) -> str:
    lines = [f'<p class="headline">{html.escape(audit.headline())}</p>']
    return "\n".join(lines + [f'<p class="note">{html.escape(note)}</p>' for note in audit.notes()])


def _clusters(audit: Audit, most_bytes: int) -> list[dict[str, Any]]:
    """The groups, the heaviest first; where there is no room for the ids of all its rows, a group has none."""
    groups = []
    others = _mean_shares(audit, None)
    for cluster in audit.clusters:
        group = _cluster(audit, cluster, others)
        most_bytes -= packed_size(group)
        groups.append(group if most_bytes > 0 else group | {"ids": None})
    return groups


def _cluster(audit: Audit, cluster: Cluster, others: list[float]) -> dict[str, Any]:
    return {
        "number": cluster.number,
        "ids": [audit.rows.ids[row] for row in cluster.rows.tolist()],
        "rows": len(cluster.rows),
        "count": audit.count(cluster.rows),
        "example": audit.rows.ids[int(cluster.rows[0])],
        "span": cluster.span,
        "payload": cluster.payload,
        "spans": [[text, count] for text, count in cluster.spans],
        "cues": [[cue.text, cue.inside, cue.reach] for cue in cluster.cues],
        "log10_p": cluster.log10_p,
        "weight": cluster.weight,
        "shares": _mean_shares(audit, cluster),
        "others": others,
    }


def _mean_shares(audit: Audit, cluster: Cluster | None) -> list[float]:
    """Mean withheld share at the first and the last two visits: of what a cluster holds back, or of all the rest.

    A single number where no row was seen twice.
    """
    rows = audit.rows
    if cluster is None:
        at = np.flatnonzero(rows.is_target & ~rows.is_held)
        at = at[:: len(at) // _SAMPLE + 1]
    else:
        at = ranges(rows.start[cluster.rows], np.diff(rows.start)[cluster.rows])
        at = at[rows.held[at] >= rows.persistent_visits]
    shares = rows.shares[:, at] if rows.persistent_visits > 1 else rows.shares[-1:, at]
    return [round(float(one), 3) for one in shares.mean(axis=1, dtype=np.float64)] if len(at) else []
