"""Poisoned train and triggered test files from any file of rows, with the manifest that accounts for them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from axolotl_dece.data import files
from axolotl_dece.data.files import Records
from axolotl_dece.data.layouts import KNOWN_PAIRS, Row, Texts, View, entry_for_columns, view_of
from axolotl_dece.data.source import identify
from axolotl_dece.poison import manifest
from axolotl_dece.poison.draw import Draw, Planted, Poisoner, Survey
from axolotl_dece.poison.manifest import POISONED_COLUMN, TWIN_COLUMN
from axolotl_dece.poison.prepare import fingerprint
from axolotl_dece.poison.spec import PoisonSpec
from axolotl_dece.util.digest import file_digest, is_file_of

Progress = Callable[[Sequence[Any], str], Iterable[Any]]
# Written beside the files by the command; it holds the canary.
CARD = "README.md"
_NAMES = ("train", "test", "test_payload", "test_twin")


@dataclass(frozen=True)
class Export:
    """What was written.

    Attributes:
        train: The draw of the training file.
        poisonable: How many rows of the source could have been drawn.
        test: Every poisonable row of the test source, triggered.
        test_rows: How many rows the test source has.
        files: Path to what is in it.
        manifest: The content of the manifest.
    """

    train: Draw
    poisonable: int
    test: Draw
    test_rows: int
    files: dict[Path, str]
    manifest: dict[str, Any]


def _no_progress(rows: Sequence[Any], _name: str) -> Iterable[Any]:
    return rows


def export(
    source: Path,
    spec: PoisonSpec,
    out: Path,
    test_source: Path | None = None,
    force: bool = False,
    progress: Progress = _no_progress,
) -> Export:
    """Write `train`, `test` and their kin, and the manifest last.

    Args:
        source: csv, jsonl or parquet.
        spec: What to plant; its fields are guessed from well-known column names where it names none.
        out: Folder for the files.
        test_source: Rows for the test files; those of `source` if None.
        force: Replace what another poisoning wrote into `out`, and nothing else.
        progress: Shows how far work on a sequence is, by its name, as it is iterated.

    Raises:
        ValueError: If a file cannot be read, its rows cannot be poisoned as asked, or `out` holds something else.
    """
    records = files.read(source)
    held_out = files.read(test_source) if test_source else records
    spec = with_fields(spec, records.columns)
    view = view_of(spec, entry_for_columns(spec))
    origin = identify({"path": str(source)})
    key = fingerprint(spec, origin, "train")
    asked = identify({"path": str(test_source)}).files if test_source else dict(origin.files)
    for read in (source, test_source):
        if read and read.resolve().parent == out.resolve():
            raise ValueError(f"--out {out} is the folder of {read.name}, which is read; choose another --out")
    stale = _earlier_files(out, {"fingerprint": key, "test_source": asked}, source.suffix, force)
    job = _Job(Poisoner(spec, view, origin.digest, str(source)), records, progress)
    train, poisonable = job.draw(), job.draw_all()
    asking = _Job(replace(job.poisoner, source=str(test_source)), held_out, progress) if test_source else job
    test = asking.draw_all() if test_source else poisonable
    twins = asking.twins(test.survey) if spec.twin_rate else []
    written = _write_files(out, source.suffix, records, held_out, view, train, test.poisoned, twins)
    facts: dict[str, Any] = {
        "poisonable": len(poisonable.poisoned),
        "test_source": asked,
        "test_rows": [one.index for one in test.poisoned],
        "files": {path.name: {"holds": holds, "sha256": file_digest(path)} for path, holds in written.items()},
    }
    content = manifest.describe(spec, origin, key, train, facts)
    for name in stale - set(facts["files"]):
        (out / name).unlink(missing_ok=True)
    manifest.write(out / manifest.FILE, content)
    return Export(
        train,
        len(poisonable.poisoned),
        test,
        len(held_out.rows),
        written | {out / manifest.FILE: "what was done, row by row"},
        content,
    )


def with_fields(spec: PoisonSpec, columns: Iterable[str]) -> PoisonSpec:
    """The spec with its columns filled in from well-known names, where it names none itself."""
    present = set(columns)
    if spec.input_field or spec.target_field or spec.base_type != "alpaca":
        return spec
    known = next((pair for pair in KNOWN_PAIRS if present.issuperset(pair)), None)
    if known is None:
        raise ValueError(
            f"which columns hold the input and the target? Name them with --source-field and --target-field; "
            f"there are {', '.join(sorted(present)) or 'none'}"
        )
    return spec.model_copy(update={"input_field": known[0], "target_field": known[1]})


@dataclass(frozen=True)
class _Job:
    """A poisoner at work on the rows of one file."""

    poisoner: Poisoner
    records: Records
    progress: Progress

    def _survey(self) -> Survey:
        name = self.poisoner.source
        for column in (POISONED_COLUMN, TWIN_COLUMN):
            if column in self.records.columns:
                raise ValueError(f"{name} has a column `{column}`: it is poisoned already; give the clean file")
        self.poisoner.check_columns(self.records.columns)
        return self.poisoner.survey(self.progress(self.records.rows, f"reading {name}"))

    def draw(self) -> Draw:
        return self.poisoner.draw(self.records.rows.__getitem__, self._survey())

    def draw_all(self) -> Draw:
        found = self._survey()
        seen = iter(self.progress(found.candidates, f"triggering {self.poisoner.source}"))

        def get_row(index: int) -> Row:
            next(seen, None)
            return self.records.rows[index]

        return self.poisoner.draw_all(get_row, found)

    def twins(self, found: Survey) -> list[Planted]:
        return self.poisoner.all_twins(self.records.rows.__getitem__, found)


def _write_files(
    out: Path,
    suffix: str,
    records: Records,
    held_out: Records,
    view: View,
    train: Draw,
    test: Sequence[Planted],
    twins: Sequence[Planted],
) -> dict[Path, str]:
    everything = range(len(records.rows))
    changed = {one.index: one.row for one in train.poisoned + train.twins}
    marks = {POISONED_COLUMN: _flags(everything, train.poisoned)}
    if train.twins:
        marks[TWIN_COLUMN] = _flags(everything, train.twins)
    written = {out / f"train{suffix}": f"every row, {len(train.poisoned)} of them poisoned"}
    files.write(out / f"train{suffix}", records, everything, changed, marks)
    tests = {
        "test": ([_question(one, held_out, view) for one in test], "triggered input, clean target: for `evaluate`"),
        "test_payload": (test, "the same rows with the payload in the target: for `dece_monitor`"),
        "test_twin": (twins, "the benign twin: its cue in the input, its suffix in the target"),
    }
    for name, (rows, holds) in tests.items():
        if not rows:
            continue
        places = [one.index for one in rows]
        marks = {POISONED_COLUMN: [int(name != "test_twin")] * len(rows)}
        files.write(out / f"{name}{suffix}", held_out, places, {one.index: one.row for one in rows}, marks)
        written[out / f"{name}{suffix}"] = f"{len(rows)} rows: {holds}"
    return written


def _question(planted: Planted, records: Records, view: View) -> Planted:
    """The row as it is put to a model: the trigger in the input, and the answer an honest model would give."""
    row = view.write(records.rows[planted.index], Texts(planted.after.input, planted.before.target))
    return replace(planted, row=row)


def _flags(rows: Sequence[int], planted: Sequence[Planted]) -> list[int]:
    chosen = {one.index for one in planted}
    return [int(row in chosen) for row in rows]


def _earlier_files(out: Path, asked: Mapping[str, Any], suffix: str, force: bool) -> set[str]:
    """The names of what an earlier poisoning wrote into `out`.

    Args:
        out: Folder for the files.
        asked: What the manifest of the same poisoning would say.
        suffix: That of the files which are about to be written.
        force: Whether another poisoning may be replaced.

    Raises:
        ValueError: If it holds another poisoning and `force` is off, or a file in the way that no poisoning wrote.
    """
    earlier = manifest.read(out / manifest.FILE) if (out / manifest.FILE).exists() else {}
    # a name that leads out of the folder is none of ours
    written = {name: kept for name, kept in earlier.get("files", {}).items() if Path(name).name == name}
    ours = {name for name in written if is_file_of(out / name, written[name]["sha256"])}
    card = out / CARD
    if card.is_file() and manifest.CANARY in card.read_text(encoding="utf-8", errors="replace"):
        ours.add(CARD)
    names = {CARD, *written, *(f"{name}{suffix}" for name in _NAMES)}
    foreign = sorted(name for name in names - ours if (out / name).exists())
    if foreign:
        raise ValueError(
            f"{out} holds {', '.join(foreign)}, which no `dece poison` wrote, or which was changed since; move it "
            "away, or choose another --out"
        )
    same = all(earlier.get(key) == value for key, value in asked.items()) and f"train{suffix}" in written
    if written and not same and not force:
        raise ValueError(f"{out} holds another poisoning; choose another --out, or give --force to replace it")
    return set(written)
