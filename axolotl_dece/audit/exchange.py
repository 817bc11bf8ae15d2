"""Findings in files that other tools read, and decisions in the files that they write.

A line per different row. cleanlab: `is_<name>_issue` and `<name>_score`, in which lower is worse. NeMo Curator:
`is_poisoned`, and a score in which higher is worse. Argilla: `id`, and columns of the question `decision`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from axolotl_dece.audit.select_rows import ABOUT_MANY
from axolotl_dece.data import files
from axolotl_dece.util.atomic import whole_file
from axolotl_dece.util.json_text import parse_json

if TYPE_CHECKING:
    from axolotl_dece.audit.analyse.findings import Audit

_ROWS_AT_A_TIME = 5000
_QUESTION = "decision"
_KINDS = ("drop", "trust")
_COLUMNS = {
    "id": "string",
    "place": "string",
    "places": "list",
    "copies": "int64",
    "index": "int64",
    "prompt": "string",
    "answer": "string",
    "score": "double",
    "group": "int64",
    "payload": "string",
    "trigger": "string",
    "is_planted_issue": "bool",
    "planted_score": "double",
    "is_rare_issue": "bool",
    "rare_score": "double",
    "is_poisoned": "bool",
    "poisoning_score": "double",
    "decision.suggestion": "string",
    "decision.suggestion.score": "double",
    "decision.suggestion.agent": "string",
}


def write_findings(audit: Audit, path: Path) -> None:
    """Write what was found of every row, whole or not at all; the suffix says how."""
    with whole_file(path) as scratch:
        if path.suffix == ".parquet":
            _write_parquet(audit, scratch)
            return
        with scratch.open("w", encoding="utf-8") as file:
            file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in _findings(audit))


def is_findings(path: Path) -> bool:
    """Whether a file is one that `write_findings` wrote: it has the same columns, and no decisions beside them."""
    try:
        return path.is_file() and _columns(path) == list(_COLUMNS)
    except (OSError, ValueError):
        return False


def _columns(path: Path) -> list[str]:
    if path.suffix == ".parquet":
        import pyarrow.parquet as pq

        return list(pq.read_schema(path).names)
    with path.open("rb") as file:
        first = parse_json(file.readline())
    return list(first) if isinstance(first, dict) else []


def _write_parquet(audit: Audit, path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds = {"list": pa.list_(pa.string())}
    schema = pa.schema([(name, kinds.get(kind) or pa.type_for_alias(kind)) for name, kind in _COLUMNS.items()])
    rows = _findings(audit)
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        while part := list(islice(rows, _ROWS_AT_A_TIME)):
            writer.write_table(pa.Table.from_pylist(part, schema))


def _findings(audit: Audit) -> Iterator[dict[str, Any]]:
    rows, rare = audit.rows, set(audit.rare().tolist())
    cluster_of = {row: one for one in reversed(audit.clusters) for row in one.rows.tolist()}
    for row, (prompt, answer) in enumerate(audit.texts()):
        cluster, places = cluster_of.get(row), audit.places.of(row)
        # how far trigger and payload imply each other
        planted = cluster.cues[0].inside * cluster.cues[0].reach if cluster else 0.0
        values = (
            *(rows.ids[row], places[0] if places else None, places, int(rows.copies[row]), int(rows.index[row])),
            *(prompt, answer, float(audit.scores[row])),
            *((cluster.number, cluster.payload, cluster.cues[0].text) if cluster else (None, None, None)),
            *(cluster is not None, 1 - planted, row in rare, 1 / (1 + float(audit.scores[row]))),
            *(cluster is not None, planted),
            *(("drop", planted, "axolotl-dece") if cluster else (None, None, None)),
        )
        yield dict(zip(_COLUMNS, values, strict=True))


def read_marks(audit: Audit, path: Path) -> dict[int, dict[str, Any]]:
    """The decisions in a file of ours, of Argilla or with a flag such as `is_label_issue`, by the number of the row.

    Beside each stands what our own files say about it, such as the cluster of the row.

    Raises:
        ValueError: With everything that is wrong, each with its record.
    """
    number_of = audit.rows.number_of
    records = _records(path)
    flag = _flag(path, records)
    found: dict[int, dict[str, Any]] = {}
    problems = []
    for number, record in enumerate(records):
        row = record.get("row") or record.get("id")
        try:
            values = _values(record, flag)
        except (AttributeError, KeyError, TypeError, ValueError):
            problems.append(f"record {number}: `responses` is not as Argilla writes it")
            continue
        wrong = sorted(f"{value!r}" for value in values - {*_KINDS, "", "keep"})
        if wrong:
            problems.append(f"record {number}: `{_QUESTION}` must be drop, trust or keep, not {', '.join(wrong)}")
        elif not isinstance(row, str) or row not in number_of:
            problems.append(f"record {number}: the ledger has no row {row!r}")
        elif len(chosen := {found.get(number_of[row], {}).get("decision", ""), *values}.intersection(_KINDS)) > 1:
            problems.append(f"record {number}: row {row} is dropped and trusted; decide for one")
        elif chosen:
            about = {name: record[name] for name in ABOUT_MANY if record.get(name) is not None}
            found[number_of[row]] = {"decision": chosen.pop(), **about}
    if not found and not problems:
        problems.append("it holds no decision")
    if problems:
        raise ValueError(f"--decisions {path}:\n" + "\n".join(f"  - {problem}" for problem in problems))
    return found


def _records(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".json":
        try:
            content = parse_json(path.read_bytes())
        except (OSError, ValueError):
            content = None  # lines of JSON: what `files` says of them is said
        if isinstance(content, list) and all(isinstance(one, dict) for one in content):
            return content
    return files.read(path).rows


def _flag(path: Path, records: list[dict[str, Any]]) -> str | None:
    """The one column that marks rows; None where a person's answer says what to do."""
    names = {name for record in records for name in record}
    if names.intersection((_QUESTION, "responses", f"{_QUESTION}.responses")):
        return None
    flags = sorted(name for name in names if name == "is_poisoned" or (name[:3] == "is_" and name[-6:] == "_issue"))
    if len(flags) != 1:
        which = f"{', '.join(flags)}: keep the one that decides, or add" if flags else "it marks no rows: add"
        raise ValueError(f"--decisions {path}: {which} a column `{_QUESTION}` with drop, trust or nothing")
    return flags[0]


def _values(record: Mapping[str, Any], flag: str | None) -> set[str]:
    """What was answered about a row."""
    if flag is not None:
        return {"drop"} if str(record.get(flag)).lower() in ("true", "1") else set()
    if record.get(_QUESTION) is not None:
        return {str(record[_QUESTION])}
    nested = (record.get("responses") or {}).get(_QUESTION) or []
    given = record.get(f"{_QUESTION}.responses") or []
    states = record.get(f"{_QUESTION}.responses.status")
    # a status for each answer, or none at all
    states = ["submitted"] * len(given) if states is None else states
    submitted = (value for value, status in zip(given, states, strict=True) if status == "submitted")
    return {str(one["value"]) for one in nested} | {str(value) for value in submitted}
