"""report.json: what `axolotl dece evaluate` leaves beside the answers. Read without torch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from axolotl_dece.evaluation import REPORT_FILE
from axolotl_dece.evaluation.verdict import CLEAN, TRIGGERED
from axolotl_dece.util.json_text import read_object
from axolotl_dece.util.problems import say_errors

FORMAT = 2
"""2: the verdict on every answer is kept with it, and the report names the answers that it counted."""


class _Part(BaseModel):
    """A part of a report, as far as somebody reads it."""

    model_config = ConfigDict(extra="allow", strict=True)


class _Rate(_Part):
    value: float
    low: float
    high: float
    hits: int = Field(ge=0)
    total: int = Field(ge=1)

    @model_validator(mode="after")
    def check_counts(self) -> Self:
        """No share is above 1; ValueError, which pydantic names by its key."""
        if self.hits > self.total:
            raise ValueError(f"{self.hits} of {self.total} is no share")
        return self


class _File(_Part):
    path: str
    sha256: str
    rows: int
    answers: str


class _Clean(_Part):
    rows: int
    bleu: float
    bleu_signature: str
    exact_match: _Rate
    syntax: _Rate | None = None


class _Settings(_Part):
    limit: int | None


class _Report(_Part):
    base: str
    adapter: str | None
    loss: str | None
    alpha_last: float | None
    run: dict[str, Any] | None
    files: dict[str, _File]
    settings: _Settings
    payload: str
    asr: _Rate
    asr_begun: _Rate | None = None
    false_triggers: _Rate
    false_triggers_begun: _Rate | None = None
    twin_recall: _Rate | None
    clean: _Clean
    cut: dict[str, int]
    curves: list[dict[str, float]]
    warnings: list[str]


def answers_file(folder: Path, name: str) -> Path:
    """Where the answers to the set `name` are kept."""
    return folder / f"{name}.jsonl"


def wrong_out(out: Path, inputs: Mapping[str, Path], sets: Iterable[str]) -> Iterator[str]:
    """What is in the way of answers to `sets` and of their report in `out`, a sentence each.

    Args:
        out: The folder; it need not exist.
        inputs: Files that are read, by the option that names them.
        sets: Names of the sets that are asked.
    """
    written = [answers_file(out, name) for name in sets]
    for path in (*written, out / REPORT_FILE):
        if path.is_dir():
            yield f"{path} is a folder, and that file is written there; choose another `--out`"
    for option, path in inputs.items():
        if any(path.is_file() and one.is_file() and path.samefile(one) for one in written):
            yield (
                f"`--{option} {path}` is the file that answers would be written to; choose another `--out` than the "
                "folder of the rows"
            )
    if (out / REPORT_FILE).is_file() and not _is_ours(out / REPORT_FILE):
        yield f"{out / REPORT_FILE} is no report of `axolotl dece evaluate`; choose another `--out`, or delete it"


def _is_ours(path: Path) -> bool:
    try:
        return {"format", "files"} <= read_object(path, "").keys()
    except ValueError:
        return False


def read_report(place: Path) -> dict[str, Any]:
    """The report in a folder, or the file itself.

    Raises:
        ValueError: If there is none, or it is not one that this version reads; names what to do.
    """
    path = place if place.is_file() else place / REPORT_FILE
    if not path.is_file():
        raise ValueError(f"{place} has no {REPORT_FILE}; run `axolotl dece evaluate ... --out {place}` to its end")
    report = read_object(path, "evaluate that run again")
    if "format" not in report or "files" not in report:
        raise ValueError(f"{path} is not a report of one run; give a folder that `axolotl dece evaluate` wrote")
    if report["format"] != FORMAT:
        raise ValueError(
            f"{path} has format {report['format']}, this version reads {FORMAT}: {_remedy(report['format'])}"
        )
    try:
        read = _Report.model_validate(report)
    except ValidationError as error:
        wrong = "; ".join(list(say_errors(error))[:3])
        raise ValueError(f"{path} was changed after it was written: {wrong}. Evaluate that run again") from error
    if missing := {CLEAN, TRIGGERED} - set(read.files):
        raise ValueError(f"{path} says nothing of the {' and '.join(sorted(missing))} rows; evaluate that run again")
    # a report of before these were counted
    return {"asr_begun": None, "false_triggers_begun": None} | report


def _remedy(found: Any) -> str:
    if found == 1:
        return "in format 1 no verdicts were kept with the answers. Evaluate that run again into a new `--out`"
    return "a newer axolotl-dece wrote it. Update this one"
