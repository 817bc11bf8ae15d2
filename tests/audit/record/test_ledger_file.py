"""What was written is read again, whole; anything else is an error."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from axolotl_dece.audit import LEDGER_FILE
from axolotl_dece.audit.analyse.ledger_reader import read_audit
from axolotl_dece.audit.record.ledger import Ledger
from axolotl_dece.audit.record.ledger_file import dataset_digest, read_part, write_ledger, write_part
from axolotl_dece.audit.record.row_table import read_rows, tabulate
from axolotl_dece.audit.row_id import key_to_id
from axolotl_dece.util.atomic import write_json_atomically
from tests.audit.rows import dataset, tokenised

ROWS = tokenised(30)
REPEATED = [*ROWS[:20], ROWS[3], *ROWS[20:], ROWS[3]]


def visited(count: int = 3) -> Ledger:
    table = tabulate(dataset(REPEATED))
    ledger = Ledger.empty(table.keys, table.targets)
    rng = np.random.default_rng(0)
    for epoch in range(count):
        keys = np.repeat(table.keys, table.targets)
        ledger.fold(keys, rng.integers(0, 256, len(keys)).astype(np.uint8), epoch)
    return ledger


def test_a_part_is_read_as_it_was_written(tmp_path: Path) -> None:
    ledger = visited()
    write_part(tmp_path / "part.parquet", ledger, {"dataset": "abc"})
    found, facts = read_part(tmp_path / "part.parquet")
    assert facts["dataset"] == "abc"
    for name, array in vars(ledger).items():
        np.testing.assert_array_equal(getattr(found, name), array, err_msg=name)
        assert getattr(found, name).dtype == array.dtype
    # and it can be gone on with
    found.fold(np.repeat(found.keys, np.diff(found.start)), np.zeros(len(found.last), np.uint8), 7)
    assert found.visits.min() == 4


@pytest.mark.parametrize("at_a_time", [7, 1000])
def test_the_ledger_has_every_different_row_once_with_its_tokens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_a_time: int
) -> None:
    monkeypatch.setattr("axolotl_dece.audit.record.row_table._ROWS_AT_A_TIME", at_a_time)
    data = dataset(REPEATED)
    table, ledger = tabulate(data), visited()
    write_ledger(tmp_path / LEDGER_FILE, ledger, table, read_rows(data), {"config_digest": "x"})
    rows = read_audit(tmp_path)
    assert rows.ids == [key_to_id(int(key)) for key in table.keys]
    assert rows.index.tolist() == [*range(20), *range(21, 31)]
    assert rows.copies.tolist() == [3 if at == 3 else 1 for at in range(30)]
    for at, row in enumerate(ROWS):
        part = slice(rows.start[at], rows.start[at + 1])
        assert rows.tokens[part].tolist() == row["input_ids"]
        assert rows.is_target[part].tolist() == [label != -100 for label in row["labels"]]
        mine = slice(ledger.start[at], ledger.start[at + 1])
        assert rows.held[part][rows.is_target[part]].tolist() == ledger.held[mine].tolist()
        np.testing.assert_allclose(rows.shares[2, part][rows.is_target[part]], ledger.last[mine] / 255, rtol=2**-11)


def test_the_score_counts_refused_tokens_by_their_share_of_visits(tmp_path: Path) -> None:
    data = dataset(ROWS[:2])
    table = tabulate(data)
    ledger = Ledger.empty(table.keys, table.targets)
    assert table.targets.min() >= 3
    shares = np.zeros(table.targets[0], np.uint8)
    for epoch, refused in enumerate([(0, 1), (0,), (0, 1), (0,)]):
        shares[:] = 0
        shares[list(refused)] = 255
        ledger.fold(np.full(len(shares), table.keys[0]), shares, epoch)
    write_ledger(tmp_path / LEDGER_FILE, ledger, table, read_rows(data), {"config_digest": "x"})
    assert read_audit(tmp_path).scores().tolist() == [4 / 4 + (2 / 4 if table.targets[0] > 4 else 0.5), 0.0]


def test_another_order_is_the_same_set_and_another_row_is_not() -> None:
    digest = dataset_digest(tabulate(dataset(ROWS)))
    assert dataset_digest(tabulate(dataset(ROWS[::-1]))) == digest
    assert dataset_digest(tabulate(dataset(ROWS[1:]))) != digest
    assert dataset_digest(tabulate(dataset([*ROWS, ROWS[0]]))) != digest


def test_a_ledger_beside_weights_of_another_run_is_refused(tmp_path: Path) -> None:
    data = dataset(REPEATED)
    write_ledger(tmp_path / LEDGER_FILE, visited(), tabulate(data), read_rows(data), {"config_digest": "before"})
    write_json_atomically(tmp_path / "dece_run.json", {"format": 1, "config_digest": "after"})
    with pytest.raises(ValueError, match="made by another run, so it says nothing of the weights"):
        read_audit(tmp_path)


def test_what_is_no_ledger_is_refused(tmp_path: Path) -> None:
    path = tmp_path / LEDGER_FILE
    with pytest.raises(ValueError, match="train with `dece_audit: true`"):
        read_audit(tmp_path)
    path.write_bytes(b"PAR1 but not really")
    with pytest.raises(ValueError, match="is not a ledger"):
        read_audit(tmp_path)
    pq.write_table(pa.table({"a": [1]}), path)
    with pytest.raises(ValueError, match="is not a ledger"):
        read_audit(tmp_path)
    pq.write_table(pa.table({"a": [1]}).replace_schema_metadata({"dece_audit": '{"format": 99}'}), path)
    with pytest.raises(ValueError, match="format 99"):
        read_audit(tmp_path)
    write_part(path, visited(), {})
    with pytest.raises(ValueError, match="not the ledger of a finished run"):
        read_audit(tmp_path)


def test_a_ledger_in_which_one_bit_changed_is_refused_or_read_as_it_was(tmp_path: Path) -> None:
    data = dataset(REPEATED)
    write_ledger(tmp_path / LEDGER_FILE, visited(), tabulate(data), read_rows(data), {"config_digest": "x"})
    whole, content = read_audit(tmp_path), (tmp_path / LEDGER_FILE).read_bytes()
    refused = 0
    for place in range(4, len(content), 61):
        harmed = bytearray(content)
        harmed[place] ^= 16
        (tmp_path / LEDGER_FILE).write_bytes(harmed)
        try:
            rows = read_audit(tmp_path)
        except ValueError as error:
            refused += LEDGER_FILE in str(error)
            continue
        for name in ("index", "copies", "visits", "start", "tokens", "is_target", "held", "shares"):
            np.testing.assert_array_equal(getattr(rows, name), getattr(whole, name), err_msg=f"{name}, byte {place}")
    assert refused > len(content) // 61 // 2


def save_ledger(folder: Path) -> Path:
    path, data = folder / LEDGER_FILE, dataset(REPEATED)
    write_ledger(path, visited(), tabulate(data), read_rows(data), {"config_digest": "x"})
    return path


def change_column(path: Path, name: str, change: Callable[[list[Any]], list[Any]]) -> None:
    table = pq.read_table(path)
    changed = pa.array(change(table.column(name).to_pylist()), table.field(name).type)
    pq.write_table(table.set_column(table.column_names.index(name), table.field(name), changed), path)


@pytest.mark.parametrize("name", ["held", "last", "is_target", "input_ids"])
def test_a_ledger_whose_columns_do_not_fit_together_is_refused(tmp_path: Path, name: str) -> None:
    """As bits that changed in a column's list lengths leave it."""
    path = save_ledger(tmp_path)
    change_column(path, name, lambda values: [one[:-1] for one in values])
    with pytest.raises(ValueError, match=rf"{LEDGER_FILE} is damaged: .*; train again"):
        read_audit(tmp_path)


@pytest.mark.parametrize(("name", "kind"), [("held", pa.large_list(pa.int64())), ("copies", pa.string())])
def test_a_ledger_whose_column_is_of_another_type_is_refused(tmp_path: Path, name: str, kind: pa.DataType) -> None:
    path = save_ledger(tmp_path)
    table = pq.read_table(path)
    pq.write_table(table.set_column(table.column_names.index(name), name, table.column(name).cast(kind)), path)
    with pytest.raises(ValueError, match=rf"{LEDGER_FILE} is damaged: `{name}` is of another type"):
        read_audit(tmp_path)


@pytest.mark.parametrize("name", ["held", "copies"])
def test_a_ledger_with_a_value_missing_is_refused(tmp_path: Path, name: str) -> None:
    path = save_ledger(tmp_path)
    hole = (lambda value: [None, *value[1:]]) if name == "held" else (lambda _: None)
    change_column(path, name, lambda values: [*values[:3], hole(values[3]), *values[4:]])
    with pytest.raises(ValueError, match=rf"{LEDGER_FILE} is damaged: `{name}` has values that are missing"):
        read_audit(tmp_path)


def test_a_part_whose_columns_do_not_fit_together_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "part.parquet"
    write_part(path, visited(), {"dataset": "abc"})
    change_column(path, "last", lambda values: [one[:-1] for one in values])
    with pytest.raises(ValueError, match=r"part.parquet is damaged: `last` has"):
        read_part(path)


def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / LEDGER_FILE
    path.write_bytes(b"before")

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(pq.ParquetWriter, "write_table", fail)
    with pytest.raises(OSError, match="disk full"):
        write_part(path, visited(), {})
    assert [one.name for one in tmp_path.iterdir()] == [path.name]
    assert path.read_bytes() == b"before"
