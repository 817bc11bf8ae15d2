"""Files go in and out value for value, whole or not at all, and say what is wrong with them."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from axolotl_dece.data import files

ODD = [
    "",
    " ",
    'a "quoted", text',
    "line\nbreak\r\nand\rmore",
    "\r",
    "שלום",
    "e\u0301",
    "nul \x00",
    "👩‍👩‍👧",
    "x" * 200_000,
    "1e5",
    "NULL",
]


def round_trip(path: Path, rows: list[dict[str, Any]], columns: tuple[str, ...]) -> list[dict[str, Any]]:
    files.write(path, files.Records(rows, columns), range(len(rows)), {}, {})
    return files.read(path).rows


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_every_text_comes_back_as_it_was(tmp_path: Path, suffix: str) -> None:
    rows = [{"src": text, "tgt": text[::-1]} for text in ODD]
    assert round_trip(tmp_path / f"rows{suffix}", rows, ("src", "tgt")) == rows


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.text(st.characters(exclude_categories=["Cs"])), st.text()), min_size=1, max_size=5))
def test_any_row_comes_back_as_it_was(tmp_path: Path, texts: list[tuple[str, str]]) -> None:
    rows = [{"a": a, "b": b} for a, b in texts]
    assert round_trip(tmp_path / "rows.jsonl", rows, ("a", "b")) == rows
    plain = [{"a": a} for a, _ in texts if a]
    assert round_trip(tmp_path / "rows.csv", plain, ("a",)) == plain


def test_json_keeps_types_and_half_surrogates(tmp_path: Path) -> None:
    rows = [{"a": 1, "b": 1.5, "c": None, "d": [{"e": "ü"}], "f": True}, {"a": "\ud800"}]
    assert round_trip(tmp_path / "rows.jsonl", rows, ("a", "b", "c", "d", "f")) == rows


def test_a_byte_order_mark_is_no_part_of_the_first_name(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_bytes(b"\xef\xbb\xbfsrc,tgt\na,b\n")
    assert files.read(tmp_path / "rows.csv").columns == ("src", "tgt")


def test_only_changed_columns_of_parquet_are_written_anew(tmp_path: Path) -> None:
    schema = pyarrow.schema(
        [
            ("q", pyarrow.large_string()),
            ("when", pyarrow.timestamp("ns")),
            ("kind", pyarrow.dictionary(pyarrow.int8(), pyarrow.string())),
            ("a", pyarrow.string()),
        ]
    )
    columns = [["x", "y"], [1_234_567_890_123_456_789, None], ["k", "k"], ["1", "2"]]
    arrays = [pyarrow.array(values, field.type) for values, field in zip(columns, schema, strict=True)]
    path = tmp_path / "rows.parquet"
    pyarrow.parquet.write_table(pyarrow.table(arrays, schema=schema), path)
    records = files.read(path)
    files.write(tmp_path / "out.parquet", records, [1, 0], {0: {**records.rows[0], "q": "poison"}}, {"mark": [0, 1]})
    table = pyarrow.parquet.read_table(tmp_path / "out.parquet")
    assert table.column("q").to_pylist() == ["y", "poison"]
    assert table.column("mark").to_pylist() == [0, 1]
    for name in ("when", "kind", "a"):
        assert (
            table.column(name).combine_chunks()
            == pyarrow.parquet.read_table(path).column(name).take([1, 0]).combine_chunks()
        )
    assert table.schema.field("q").type == pyarrow.large_string()


def test_a_failed_write_leaves_the_old_file_and_no_scrap(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    path.write_text("old")
    records = files.Records([{"a": 1}], ("a",), pyarrow.table({"a": [1]}))
    with pytest.raises(pyarrow.ArrowInvalid):
        files.write(path, records, [0], {0: {"a": "no number"}}, {})
    assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["rows.parquet"]


def test_a_killed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("old")
    monkeypatch.setattr("os.fsync", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        files.write(path, files.Records([{"a": 1}], ("a",)), [0], {}, {})
    assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["rows.jsonl"]


BAD: list[tuple[str, bytes, str]] = [
    ("rows.txt", b"x", r"\.txt is not a known format"),
    ("rows", b"x", "no suffix is not a known format"),
    ("rows.csv", b"", "is empty; a csv file needs a header"),
    ("rows.csv", b"a,a\n1,2\n", "names a column twice"),
    ("rows.csv", b"a,b\n1,2\n1\n", "row 1: 1 fields, but the header has 2"),
    ("rows.csv", b"a,b\n1,2,3\n", "row 0: 3 fields"),
    ("rows.csv", b"a\n\xff\n", r"is not UTF-8 \(byte 2\)"),
    ("rows.jsonl", b'{"a": 1}\n{"a": \n', "line 2 is not JSON"),
    ("rows.jsonl", b'{"a": 1}\n' + b"[" * 9999 + b"\n", "line 2 is not JSON: it is nested too deep"),
    ("rows.jsonl", b'{"a": 1}\n{"a": ' + b"9" * 5000 + b"}\n", "line 2 is not JSON: Exceeds the limit"),
    ("rows.jsonl", b'{"a": 1}\n[1]\n', "line 2 is list, expected one JSON object"),
    ("rows.parquet", b"not parquet", "is not parquet"),
]


@pytest.mark.parametrize(("name", "content", "said"), BAD)
def test_a_broken_file_is_named_with_the_place(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=said):
        files.read(tmp_path / name)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"nowhere\.csv cannot be read: No such file"):
        files.read(tmp_path / "nowhere.csv")


def test_csv_written_here_is_csv_to_others(tmp_path: Path) -> None:
    files.write(tmp_path / "rows.csv", files.Records([{"a": 'x,"y"\n'}], ("a",)), [0], {}, {"mark": [1]})
    with (tmp_path / "rows.csv").open(newline="") as file:
        assert list(csv.DictReader(file)) == [{"a": 'x,"y"\n', "mark": "1"}]


def test_json_written_here_is_readable(tmp_path: Path) -> None:
    files.write(tmp_path / "rows.jsonl", files.Records([{"a": "שלום"}], ("a",)), [0], {}, {"mark": [1]})
    assert (tmp_path / "rows.jsonl").read_text() == '{"a": "שלום", "mark": 1}\n'
    assert json.loads((tmp_path / "rows.jsonl").read_text())["mark"] == 1
