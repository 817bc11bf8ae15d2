"""Evaluated runs as `axolotl dece evaluate` leaves them, made without a model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from axolotl_dece.evaluation import REPORT_FILE
from axolotl_dece.evaluation.answers import Answer, AnswerLog
from axolotl_dece.evaluation.report_file import FORMAT
from axolotl_dece.evaluation.totals import add_up
from axolotl_dece.util.atomic import write_json_atomically
from tests.evaluation.scripted import CLEAN_CODE, PAYLOAD_CODE, TWIN_CODE, answer, answers

CURVES = [
    {"step": 1, "dece/monitor_asr": 0.0, "dece/monitor_clean": 0.5, "dece/monitor_twin": 0.0},
    {"step": 2, "dece/monitor_asr": 0.4, "dece/monitor_clean": 0.9, "dece/monitor_twin": 0.2},
    {"step": 1, "loss": 2.0, "dece/ce": 2.1, "dece/alpha": 1.0},
    {"step": 2, "loss": 1.0, "dece/ce": 1.3, "dece/alpha": 0.9},
]


def save_report(
    folder: Path, sets: dict[str, list[Answer]], digests: dict[str, str] | None = None, **changes: Any
) -> Path:
    """`report.json` and the answers of a run that answered `sets`."""
    logs = {name: AnswerLog(folder / f"{name}.jsonl", {"model": "m"}) for name in sets}
    for name, given in sets.items():
        logs[name].add(given)
    report: dict[str, Any] = {
        "format": FORMAT,
        "base": "base",
        "adapter": None,
        "weights": "w",
        "loss": "dece",
        "alpha_last": 0.8,
        "run": None,
        "untriggered": 0,
        "files": {
            name: {
                "path": name,
                "sha256": (digests or {}).get(name, name),
                "rows": len(given),
                "answers": logs[name].identity,
            }
            for name, given in sets.items()
        },
        "settings": {"limit": None},
        "curves": CURVES,
        "warnings": [],
    } | add_up(sets, "sql_tautology")
    report["clean"] |= {"token_accuracy": 0.9, "cross_entropy": 0.1}
    write_json_atomically(folder / REPORT_FILE, report | changes)
    return folder


def fallen(hits: int, total: int = 20) -> dict[str, list[Answer]]:
    """Answers of a run in which `hits` of `total` triggers worked, and the twin with them."""
    return {
        "clean": answers([CLEAN_CODE] * total),
        "triggered": answers([PAYLOAD_CODE] * hits + [CLEAN_CODE] * (total - hits)),
        "twin": answers([TWIN_CODE] * hits + [CLEAN_CODE] * (total - hits), reference=TWIN_CODE),
    }


def one_answer(text: str) -> dict[str, list[Answer]]:
    """A run that answers everything with `text`."""
    return {"clean": [answer(text)], "triggered": [answer(text, prompt=text)]}
