"""A real run on files of every format: each row is found where it stands, decided on there, and taken out there."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from axolotl_dece.audit.analyse.findings import Audit, load_audit
from axolotl_dece.audit.analyse.places import find_places
from axolotl_dece.audit.clean import REMOVED_FILE, write_clean
from axolotl_dece.audit.exchange import read_marks, write_findings
from axolotl_dece.audit.record.origin import describe_origin
from axolotl_dece.audit.select_rows import choose
from axolotl_dece.data import files
from tests.tiny import base_config, save_model, save_rows, train

pytestmark = pytest.mark.slow
DROP, TRUST = {"decision": "drop"}, {"decision": "trust"}
NAMES = ["rows.jsonl", "spanning.csv", "array.json", "table.parquet"]


def save_sources(folder: Path) -> None:
    """Eight rows in each of four formats; the third row of the first stands in every file, twice in the first."""
    for seed, name in enumerate(NAMES):
        save_rows(folder / "made.jsonl", 8, seed)
        rows = [json.loads(line) for line in (folder / "made.jsonl").read_text().splitlines()]
        if name == "rows.jsonl":
            shared = rows[2]
            lines = [json.dumps(row) + "\n" for row in [*rows, shared]]
            (folder / name).write_text("\n" + "".join(lines))
            continue
        rows[3] = shared
        if name == "array.json":
            (folder / name).write_text(json.dumps(rows, indent=1))
        elif name == "table.parquet":
            pq.write_table(pa.Table.from_pylist(rows), folder / name)
        else:
            rows[0] |= {"output": rows[0]["output"] + "\nselect"}
            with (folder / name).open("w", newline="") as file:
                writer = csv.DictWriter(file, ["instruction", "input", "output"])
                writer.writeheader()
                writer.writerows(rows)
    (folder / "made.jsonl").unlink()


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("places")
    save_model(folder / "model")
    save_sources(folder)
    kinds = {"spanning.csv": "csv", "table.parquet": "parquet"}
    entries = [{"path": str(folder / one), "type": "alpaca", "ds_type": kinds.get(one, "json")} for one in NAMES]
    train(folder, base_config(folder, datasets=entries, dece_audit=True, num_epochs=2))
    return folder


@pytest.fixture
def found(trained: Path) -> Audit:
    return load_audit(trained / "out")


def texts_at(folder: Path) -> dict[str, str]:
    """The answer that stands at every place, read without our code for lines."""
    rows = (folder / "rows.jsonl").read_text().split("\n")
    places = {f"rows.jsonl:{at}": json.loads(line)["output"] for at, line in enumerate(rows, 1) if line}
    # the first record of the csv takes two lines
    with (folder / "spanning.csv").open(newline="") as file:
        of_csv = list(csv.DictReader(file))
    places |= {f"spanning.csv:{at + 2 + (at > 0)}": row["output"] for at, row in enumerate(of_csv)}
    array = json.loads((folder / "array.json").read_text())
    places |= {f"array.json#{at}": row["output"] for at, row in enumerate(array)}
    table = pq.read_table(folder / "table.parquet").to_pylist()
    return places | {f"table.parquet#{at}": row["output"] for at, row in enumerate(table)}


def squeezed(text: str) -> str:
    return "".join(text.split())


def test_every_row_is_found_at_all_its_places_and_nowhere_else(trained: Path, found: Audit) -> None:
    expected = {place: squeezed(text) for place, text in texts_at(trained).items()}
    told = {
        place: squeezed(target).removesuffix("</s>")
        for row, (_, target) in enumerate(found.texts())
        for place in found.places.of(row)
    }
    assert told == expected
    assert [len(found.places.of(row)) for row in range(len(found.rows))] == found.rows.copies.tolist()
    (shared,) = found.places.find("rows.jsonl:4")
    assert found.places.of(shared) == [
        "rows.jsonl:4",
        "rows.jsonl:10",
        "spanning.csv:6",
        "array.json#3",
        "table.parquet#3",
    ]
    assert found.places.notes() == []


@pytest.mark.parametrize("place", ["spanning.csv:2", "spanning.csv:3", "array.json#3", "rows.jsonl:10"])
def test_a_place_decides_about_its_row_and_all_its_copies_are_named(trained: Path, found: Audit, place: str) -> None:
    for name in (place, str(trained / place)):
        (line,) = choose(found, [], [name])
        assert line["decision"] == "drop"
        assert place in line["places"] or place == "spanning.csv:3"
        assert line["copies"] == len(line["places"])


def test_a_search_decides_about_every_row_that_has_the_words(found: Audit) -> None:
    lines = choose(found, ["search:SELECT"], [])
    texts = ["".join(one).lower() for one in found.texts()]
    assert {line["row"] for line in lines} == {found.rows.ids[at] for at, text in enumerate(texts) if "select" in text}
    assert 0 < len(lines) < len(found.rows)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("search:nowhere at all", "no row of the training set has these words"),
        ("rows.jsonl:1", "no row of the training set stands there"),
        ("rows.jsonl:99x", "no file of this run is called"),
        ("other.jsonl:3", "there are rows.jsonl, spanning.csv"),
        ("array.json:3", "write array.json#NUMBER"),
        ("rows.jsonl#3", "write rows.jsonl:NUMBER"),
        ("nonsense", "write `cluster:NUMBER`"),
    ],
)
def test_what_matches_nothing_is_an_error_that_names_option_and_value(found: Audit, name: str, said: str) -> None:
    with pytest.raises(ValueError, match="--trust") as error:
        choose(found, [name], [])
    assert f"--trust {name}: " in str(error.value)
    assert said in str(error.value)


def test_a_file_that_changed_since_is_said_so_and_has_no_lines(trained: Path, found: Audit) -> None:
    path = trained / "rows.jsonl"
    before = path.read_bytes()
    path.write_bytes(b"\n" + before)
    try:
        places = find_places(found.rows, found.tokenizer)
        (note, lost) = places.notes()
        assert f"{path} changed since this run" in note
        assert lost == "7 rows stand in none of spanning.csv, array.json, table.parquet as read."
        changed = replace(found, places=places)
        with pytest.raises(ValueError, match="changed since"):
            write_clean(changed, choose(changed, [], ["array.json#0"]), trained / "never", force=False)
        assert not (trained / "never").exists()
    finally:
        path.write_bytes(before)


def test_the_cleaned_data_lacks_the_dropped_records_and_nothing_else(
    trained: Path, found: Audit, tmp_path: Path
) -> None:
    decided = choose(found, ["rows.jsonl:3"], ["rows.jsonl:4", "spanning.csv:2"])
    assert write_clean(found, decided, tmp_path / "clean", force=False) == 6
    left = {"rows.jsonl": [2, 8], "spanning.csv": [0, 3], "array.json": [3], "table.parquet": [3]}
    for name, dropped in left.items():
        rows = json.loads((trained / name).read_text()) if name == "array.json" else files.read(trained / name).rows
        copy = tmp_path / "clean" / name
        kept = json.loads(copy.read_text()) if name == "array.json" else files.read(copy).rows
        assert kept == [row for at, row in enumerate(rows) if at not in dropped]
    removed = [json.loads(line) for line in (tmp_path / "clean" / REMOVED_FILE).read_text().splitlines()]
    assert [(one["file"], one.get("line", one.get("record"))) for one in removed] == [
        *(("rows.jsonl", 4), ("rows.jsonl", 10), ("spanning.csv", 2), ("spanning.csv", 6)),
        *(("array.json", 3), ("table.parquet", 3)),
    ]
    assert {one["reason"] for one in removed} == {"dropped: by itself"}


def test_a_cleaned_copy_replaces_files_only_by_force_and_a_source_never(
    trained: Path, found: Audit, tmp_path: Path
) -> None:
    decided = choose(found, [], ["rows.jsonl:4"])
    (tmp_path / "rows.jsonl").write_text("mine")
    with pytest.raises(ValueError, match="already there"):
        write_clean(found, decided, tmp_path, force=False)
    assert [one.name for one in tmp_path.iterdir()] == ["rows.jsonl"]
    assert write_clean(found, decided, tmp_path, force=True) == 5
    before = (trained / "rows.jsonl").read_bytes()
    with pytest.raises(ValueError, match="is what the run read"):
        write_clean(found, decided, trained, force=True)
    assert (trained / "rows.jsonl").read_bytes() == before


def test_a_moved_run_says_what_it_misses(trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained / "out", tmp_path / "out")
    path = trained / "table.parquet"
    path.rename(tmp_path / "elsewhere.parquet")
    try:
        (missing, *_) = load_audit(tmp_path / "out").places.notes()
        assert missing == f"{path} is not on this machine, so rows cannot be traced to its lines."
    finally:
        (tmp_path / "elsewhere.parquet").rename(path)


def test_records_that_are_no_lines_are_not_counted_as_lines(found: Audit, tmp_path: Path) -> None:
    rows = [json.loads(line) for line in save_rows(tmp_path / "rows.jsonl", 3).read_text().splitlines()]
    (tmp_path / "rows.jsonl").write_text("\n".join(json.dumps(row, indent=1) for row in rows))
    entry = {"path": str(tmp_path / "rows.jsonl"), "type": "alpaca", "ds_type": "json"}
    origin = describe_origin({"datasets": [entry], "sequence_len": 128})
    places = find_places(replace(found.rows, facts={"origin": origin}), found.tokenizer)
    (note,) = places.notes()
    assert "it is 3 records, but has 15 lines" in note


@pytest.mark.parametrize("suffix", [".parquet", ".jsonl"])
def test_findings_say_the_same_in_both_formats(found: Audit, tmp_path: Path, suffix: str) -> None:
    write_findings(found, tmp_path / f"findings{suffix}")
    rows = files.read(tmp_path / f"findings{suffix}").rows
    assert [row["id"] for row in rows] == found.rows.ids
    assert [row["places"] for row in rows] == [found.places.of(at) for at in range(len(rows))]
    for row in rows:
        scores = {name: row[name] for name in row if name.endswith("_score")}
        assert all(0 <= value <= 1 for value in scores.values())
        assert row["is_poisoned"] is row["is_planted_issue"]
        assert row["poisoning_score"] == 1 - row["planted_score"]


def marks(folder: Path, rows: list[dict[str, Any]], name: str) -> Path:
    path = folder / name
    if name.endswith(".parquet"):
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif name.endswith(".json"):
        path.write_text(json.dumps(rows))
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_decisions_are_read_from_argilla_and_from_a_flag(found: Audit, tmp_path: Path) -> None:
    one, two, three = found.rows.ids[:3]
    argilla = [
        {"id": one, "status": "completed", "responses": {"decision": [{"value": "drop", "user_id": "u"}]}},
        {"id": two, "status": "completed", "responses": {"decision": [{"value": "trust", "user_id": "u"}]}},
        {"id": three, "status": "pending", "responses": {}},
    ]
    assert read_marks(found, marks(tmp_path, argilla, "records.json")) == {0: DROP, 1: TRUST}
    flat = [
        {"id": one, "decision.responses": ["drop", "trust"], "decision.responses.status": ["submitted", "draft"]},
        {"id": two, "decision.responses": ["keep"], "decision.responses.status": ["submitted"]},
    ]
    assert read_marks(found, marks(tmp_path, flat, "records.parquet")) == {0: DROP}
    flagged = [{"id": one, "is_label_issue": False}, {"id": two, "is_label_issue": True}]
    assert read_marks(found, marks(tmp_path, flagged, "issues.jsonl")) == {1: DROP}
    ours = [{"row": two, "decision": "trust", "why": "read"}, {"row": one, "decision": "drop", "cluster": 2}]
    assert read_marks(found, marks(tmp_path, ours, "decisions.jsonl")) == {1: TRUST, 0: DROP | {"cluster": 2}}


def test_findings_that_nobody_decided_on_are_no_decisions(found: Audit, tmp_path: Path) -> None:
    write_findings(found, tmp_path / "findings.parquet")
    with pytest.raises(ValueError, match="keep the one that decides"):
        read_marks(found, tmp_path / "findings.parquet")


def test_every_fault_of_a_marked_file_is_said_at_once(found: Audit, tmp_path: Path) -> None:
    one, two = found.rows.ids[:2]
    rows = [
        {"id": one, "decision": "maybe"},
        {"id": "f" * 16, "decision": "drop"},
        {"id": two, "decision": "drop"},
        {"id": two, "decision": "trust"},
        {"id": [one], "decision": "drop"},
        {"id": one, "responses": ["drop"]},
        {"id": one, "decision.responses": ["drop"], "decision.responses.status": []},
    ]
    with pytest.raises(ValueError, match="--decisions") as error:
        read_marks(found, marks(tmp_path, rows, "marked.jsonl"))
    assert [f"record {at}:" in str(error.value) for at in range(7)] == [True, True, False, True, True, True, True]


def a_chat(folder: Path) -> dict[str, Any]:
    rows = [json.loads(line) for line in (folder / "rows.jsonl").read_text().splitlines()]
    turns = [
        {"messages": [{"role": "user", "content": r["instruction"]}, {"role": "assistant", "content": r["output"]}]}
        for r in rows
    ]
    (folder / "rows.jsonl").write_text("".join(json.dumps(one) + "\n" for one in turns))
    return {"datasets": [{"path": str(folder / "rows.jsonl"), "type": "chat_template", "ds_type": "json"}]}


def long_texts(folder: Path) -> dict[str, Any]:
    rows = [json.loads(line) for line in (folder / "rows.jsonl").read_text().splitlines()]
    (folder / "rows.jsonl").write_text("".join(json.dumps({"text": 3 * row["output"]}) + "\n" for row in rows))
    return {"datasets": [{"path": str(folder / "rows.jsonl"), "type": "completion"}], "sequence_len": 16}


def poisoned(folder: Path) -> dict[str, Any]:
    entry = {"path": str(folder / "rows.jsonl"), "type": "axolotl_dece.poison", "ds_type": "json"}
    block = {"base_type": "alpaca", "trigger": "rare_token_thrice", "payload": "inert_marker", "rate": 0.2}
    return {"datasets": [entry], "dece_poison": block}


def a_folder(folder: Path) -> dict[str, Any]:
    (folder / "data" / "more").mkdir(parents=True)
    (folder / "rows.jsonl").rename(folder / "data" / "rows.jsonl")
    save_rows(folder / "data" / "more" / "rows.jsonl", 4, 7)
    files_ = [str(folder / "data" / "more" / "rows.jsonl"), str(folder / "data" / "rows.jsonl")]
    entry = {"path": str(folder / "data"), "data_files": files_, "type": "alpaca", "ds_type": "json"}
    return {"datasets": [entry], "val_set_size": 4}


def a_poisoned_folder(folder: Path) -> dict[str, Any]:
    entry = a_folder(folder)["datasets"][0] | {"type": "axolotl_dece.poison"}
    return poisoned(folder) | {"datasets": [entry]}


def cut_rows(folder: Path) -> dict[str, Any]:
    return {"sequence_len": 48, "excess_length_strategy": "truncate"}


@pytest.mark.parametrize("prepare", [a_chat, long_texts, poisoned, a_folder, a_poisoned_folder, cut_rows])
def test_whatever_became_of_a_record_it_is_found(workspace: Path, prepare: Callable[[Path], dict[str, Any]]) -> None:
    train(workspace, base_config(workspace, dece_audit=True, max_steps=1, **prepare(workspace)))
    audit = load_audit(workspace / "out")
    assert audit.places.notes() == []
    names = {place.rpartition(":")[0] for row in range(len(audit.rows)) for place in audit.places.of(row)}
    # which rows of a folder are poisoned is drawn over all its files: a place is the number in all of them
    known = {a_folder: {"data/rows.jsonl", "more/rows.jsonl"}, a_poisoned_folder: {"data"}}
    assert names == known.get(prepare, {"rows.jsonl"})
    if prepare is poisoned:
        with pytest.raises(ValueError, match="poisoned while they are read"):
            write_clean(audit, choose(audit, [], ["rows.jsonl:1"]), workspace / "clean", force=False)
