"""A record is found on its line, and a copy without it has every other byte."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from axolotl_dece.data.lines import first_lines, write_without

# what is no record, then records
PIECES = {
    "blank.jsonl": [b"\n", b'{"a": 1}\n', b'{"a": "\xe2\x80\xa8"}\r\n', b"  \n", b'{"a": 3}'],
    "mark.jsonl": [b'\xef\xbb\xbf{"a": 1}\n', b'{"a": 2}\n'],
    "spanning.csv": [b"a,b\r\n", b'1,"x\ny"\r\n', b"\r\n", b"2,z\r\n", b'3,"""q"""'],
    "mark.csv": [b"\xef\xbb\xbfa,b\n", b"1,2\n", b"3,4\n"],
    "blank.txt": [b"one\n", b"\n", b"three"],
}
RECORDS = {
    "blank.jsonl": [1, 2, 4],
    "mark.jsonl": [0, 1],
    "spanning.csv": [1, 3, 4],
    "mark.csv": [1, 2],
    "blank.txt": [0, 1, 2],
}
LINES = {
    "blank.jsonl": [2, 3, 5],
    "mark.jsonl": [1, 2],
    "spanning.csv": [2, 5, 6],
    "mark.csv": [2, 3],
    "blank.txt": [1, 2, 3],
}


def save(folder: Path, name: str) -> Path:
    (folder / name).write_bytes(b"".join(PIECES[name]))
    return folder / name


@pytest.mark.parametrize("name", PIECES)
def test_a_record_is_on_the_line_an_editor_shows(tmp_path: Path, name: str) -> None:
    found = first_lines(save(tmp_path, name))
    assert found is not None
    assert found.tolist() == LINES[name]


@pytest.mark.parametrize("name", PIECES)
def test_what_is_not_left_out_is_copied_byte_for_byte(tmp_path: Path, name: str) -> None:
    source = save(tmp_path, name)
    for record, place in enumerate(RECORDS[name]):
        write_without(source, {record}, tmp_path / "copy")
        assert (tmp_path / "copy").read_bytes() == b"".join(PIECES[name][:place] + PIECES[name][place + 1 :])
    write_without(source, (), tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == source.read_bytes()


@pytest.mark.parametrize("left_out", [(), (0,), (1,), (2,), (0, 2), (0, 1, 2)])
def test_a_json_array_stays_one_and_keeps_how_its_elements_are_written(
    tmp_path: Path, left_out: tuple[int, ...]
) -> None:
    elements = ['{"a":  "],é"}', '{ "a": [1,\n 2] }', '{"a": 3.0}']
    path = tmp_path / "rows.json"
    path.write_text(" [\n  " + ",\n  ".join(elements) + "\n]\n", encoding="utf-8")
    assert first_lines(path) is None
    write_without(path, left_out, tmp_path / "copy.json")
    kept = [one for at, one in enumerate(elements) if at not in left_out]
    text = (tmp_path / "copy.json").read_text(encoding="utf-8")
    assert json.loads(text) == [json.loads(one) for one in kept]
    assert all(one in text for one in kept)


def test_parquet_keeps_its_schema_and_the_other_rows(tmp_path: Path) -> None:
    schema = pa.schema([("a", pa.int32())], metadata={b"who": b"me"})
    count = 70_000  # more than are read at a time
    pq.write_table(pa.table({"a": range(count)}, schema=schema), tmp_path / "a.parquet", row_group_size=7_000)
    left_out = {0, 6_999, 7_000, count - 1}
    write_without(tmp_path / "a.parquet", left_out, tmp_path / "b.parquet")
    found = pq.read_table(tmp_path / "b.parquet")
    assert found.schema.equals(schema)
    assert found.schema.metadata[b"who"] == b"me"
    assert found["a"].to_pylist() == [at for at in range(count) if at not in left_out]
