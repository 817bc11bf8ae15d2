"""report.json: what `axolotl dece evaluate` leaves beside the answers. Read without torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

REPORT_FILE = "report.json"
FORMAT = 2
"""2: the verdict on every answer is kept with it, and the report names the answers that it counted."""


def answers_file(folder: Path, name: str) -> Path:
    """Where the answers to the set `name` are kept."""
    return folder / f"{name}.jsonl"


def read_report(folder: Path) -> dict[str, Any]:
    """The report in `folder`.

    Raises:
        ValueError: If there is none, or it is not one that this version reads; names what to do.
    """
    path = folder / REPORT_FILE
    if not path.is_file():
        raise ValueError(f"{folder} has no {REPORT_FILE}; run `axolotl dece evaluate ... --out {folder}` to its end")
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} is not valid JSON ({error}); evaluate that run again") from error
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror or error}") from error
    if not isinstance(report, dict) or "format" not in report or "files" not in report:
        raise ValueError(f"{path} is not a report of one run; give a folder that `axolotl dece evaluate` wrote")
    if report["format"] != FORMAT:
        raise ValueError(
            f"{path} has format {report['format']}, this version reads {FORMAT}: {_remedy(report['format'])}"
        )
    return report


def _remedy(found: Any) -> str:
    if found == 1:
        return "in format 1 no verdicts were kept with the answers. Evaluate that run again into a new `--out`"
    return "a newer axolotl-dece wrote it. Update this one"
