"""The data of a run without the rows that were dropped: a copy beside it, and a list of what was taken out."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from axolotl_dece.audit.select_rows import ABOUT_MANY
from axolotl_dece.data.lines import write_without
from axolotl_dece.util.atomic import write_text_atomically

if TYPE_CHECKING:
    from axolotl_dece.audit.analyse.findings import Audit
    from axolotl_dece.audit.analyse.places import Origin

REMOVED_FILE = "removed.jsonl"


def write_clean(audit: Audit, decided: Sequence[Mapping[str, Any]], folder: Path, force: bool) -> int:
    """Write every file of the run without the records of dropped rows, each under its name, then the list.

    Args:
        audit: The run.
        decided: Lines of a decisions file.
        folder: For the files.
        force: Whether files that are there may be replaced; never those the run read.

    Returns:
        How many records were taken out, copies counted.

    Raises:
        ValueError: The data is not as the run read it, a dropped row is in no file, or a file is in the way; nothing
            was written.
    """
    dropped = {audit.rows.number_of[line["row"]]: line for line in decided if line["decision"] == "drop"}
    _check(audit, set(dropped), folder, force)
    places = audit.places
    removed: list[dict[str, Any]] = []
    for at, origin in enumerate(places.origins):
        if origin.path is None:
            continue
        here = zip(places.row[places.origin == at].tolist(), places.record[places.origin == at].tolist(), strict=True)
        left_out = {record: dropped[row] for row, record in here if row in dropped}
        write_without(origin.path, left_out, folder / origin.name)
        removed += [_account(origin.name, origin.place(record), left_out[record]) for record in sorted(left_out)]
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in removed)
    write_text_atomically(folder / REMOVED_FILE, text)
    return len(removed)


def clean_files(audit: Audit, folder: Path) -> dict[Path, Origin]:
    """The copies that `write_clean` makes in `folder`, each with what it is a copy of."""
    return {folder / origin.name: origin for origin in audit.places.origins if origin.path}


def _account(file: str, place: str, line: Mapping[str, Any]) -> dict[str, Any]:
    by = {key: line[key] for key in ABOUT_MANY if key in line}
    reasons = {"cluster": f"cluster {by.get('cluster')}", "search": "a search", "refused": "rows that refuse the same"}
    reason = next((reason for key, reason in reasons.items() if key in by), "by itself")
    number = int(place[len(file) + 1 :])
    return {"file": file, "line" if place[len(file)] == ":" else "record": number, "row": line["row"]} | {
        "reason": f"dropped: {reason}",
        **by,
    }


def _check(audit: Audit, dropped: set[int], folder: Path, force: bool) -> None:
    places = audit.places
    files = clean_files(audit, folder)
    problems = list(places.missing)
    if not dropped:
        problems.append("no row is dropped, so there is nothing to take out")
    if lost := [audit.rows.ids[row] for row in sorted(dropped) if not places.of(row)]:
        problems.append(f"{len(lost)} dropped rows stand in no file as read, such as row {lost[0]}")
    for at, origin in enumerate(places.origins):
        if origin.planted:
            problems.append(f"the rows of {origin.name} are poisoned while they are read; the file itself holds none")
        elif origin.path is None and dropped.intersection(places.row[places.origin == at].tolist()):
            problems.append(f"{origin.name} is no file; drop its rows with `dece_decisions`")
    sources = {origin.path.resolve() for origin in files.values() if origin.path}
    for target in [*files, folder / REMOVED_FILE]:
        if target.resolve() in sources:
            problems.append(f"{target} is what the run read; choose another folder")
        elif target.exists() and not force:
            problems.append(f"{target} is already there; choose another folder or --force")
    if problems:
        raise ValueError(f"--clean {folder}: nothing was written.\n" + "\n".join(f"  - {one}" for one in problems))
