"""What a card says about a run, gathered from the files beside the weights and nowhere else."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from axolotl_dece.run_file import RUN_FILE, read_run

REPORT_FILE = "report.json"


@dataclass(frozen=True)
class Facts:
    """Everything a model card is made of.

    Attributes:
        run: `dece_run.json`.
        reports: Evaluations of these very weights.
    """

    run: dict[str, Any]
    reports: Sequence[dict[str, Any]] = ()

    @property
    def poison(self) -> dict[str, Any] | None:
        """The `dece_poison` block the model was trained with, or None."""
        return self.run["parameters"].get("dece_poison")

    @property
    def is_defended(self) -> bool:
        """Whether DeCE was the loss."""
        return bool(self.run["loss"] == "dece")


def gather(folder: Path, reports: Sequence[Path] = ()) -> Facts:
    """The facts about the run in `folder`.

    Args:
        folder: `output_dir` of a run, or a folder in it, such as `merged`.
        reports: Folders that `axolotl dece evaluate --out` wrote; those inside `folder` are found by themselves.

    Raises:
        ValueError: If there is no manifest, or a report is unreadable or about another run.
    """
    run = read_run(folder) or read_run(folder.parent)
    if run is None:
        raise ValueError(
            f"{folder} has no {RUN_FILE}, so nothing says what trained it; give the `output_dir` of a run with "
            "`plugins: [axolotl_dece.DecePlugin]`, or a folder that `axolotl dece poison` wrote"
        )
    given = [read_report(path, run) for path in reports]
    seen = {path.resolve() for path in reports}
    found = [one for path in _report_folders(folder) if path.resolve() not in seen and (one := _own(path, run))]
    return Facts(run, [*given, *found])


def read_report(folder: Path, run: Mapping[str, Any]) -> dict[str, Any]:
    """The report in `folder`, after checking that it measured this run; ValueError if it did not."""
    path = folder / REPORT_FILE if folder.is_dir() else folder
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} cannot be read ({error}); evaluate again with `axolotl dece evaluate`") from error
    if not isinstance(report, dict) or "asr" not in report or "clean" not in report:
        raise ValueError(f"{path} is not the report of one run; give a folder that `axolotl dece evaluate` wrote")
    if not _is_about(report, run):
        raise ValueError(f"{path} measured another run than the one in this folder; evaluate this one")
    return report


def _is_about(report: Mapping[str, Any], run: Mapping[str, Any]) -> bool:
    measured = report.get("run") or {}
    return all(measured.get(key) == run[key] for key in ("config_digest", "parameters", "loss", "step"))


def _report_folders(folder: Path) -> Iterator[Path]:
    yield from sorted(path.parent for path in (*folder.glob(REPORT_FILE), *folder.glob(f"*/{REPORT_FILE}")))


def _own(folder: Path, run: Mapping[str, Any]) -> dict[str, Any] | None:
    """A report that lies in the run's own folder, unless it is about something else."""
    try:
        return read_report(folder, run)
    except ValueError:
        return None
