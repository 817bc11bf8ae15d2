"""A decisions file is read whole or refused with every fault in it; what it says is carried out exactly."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from axolotl_dece.audit import ACCOUNT_FILE
from axolotl_dece.audit.decisions import read_decisions, write_account, write_decisions
from axolotl_dece.audit.record.attach import drop_rows, reserve
from axolotl_dece.audit.record.row_table import tabulate
from axolotl_dece.audit.row_id import key_to_id
from tests.audit.rows import dataset, tokenised

ROWS = tokenised(10)
IDS = [key_to_id(int(key)) for key in tabulate(dataset(ROWS)).all_keys]


def decide(path: Path, drop: list[int] | None = None, trust: list[int] | None = None) -> Path:
    lines = [{"row": IDS[row], "decision": "drop"} for row in drop or []]
    lines += [{"row": IDS[row], "decision": "trust", "why": "ünïcode ok"} for row in trust or []]
    write_decisions(path, lines)
    return path


def trainer(rows: list[dict[str, Any]], max_steps: int = 30) -> Any:
    return SimpleNamespace(train_dataset=dataset(rows), args=SimpleNamespace(max_steps=max_steps))


def test_what_was_written_is_read(tmp_path: Path) -> None:
    found = read_decisions(decide(tmp_path / "d.jsonl", [1, 2], [4]))
    assert {key_to_id(key) for key in found.drop} == {IDS[1], IDS[2]}
    assert {key_to_id(key) for key in found.trust} == {IDS[4]}


def test_a_byte_order_mark_and_line_separators_in_a_note_are_read(tmp_path: Path) -> None:
    lines = [{"row": IDS[row], "decision": "drop", "span": "one\u2028two\x85three\u2029"} for row in (1, 2)]
    text = "".join(json.dumps(line, ensure_ascii=False) + "\r\n" for line in lines)
    (tmp_path / "d.jsonl").write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert {key_to_id(key) for key in read_decisions(tmp_path / "d.jsonl").drop} == {IDS[1], IDS[2]}


def test_every_fault_of_a_file_is_said_at_once(tmp_path: Path) -> None:
    path = tmp_path / "d.jsonl"
    lines = [
        "[" * 9999,
        "[]",
        json.dumps({"row": 7, "decision": "drop"}),
        json.dumps({"row": "xyz", "decision": "drop"}),
        json.dumps({"row": IDS[0], "decision": "keep"}),
        json.dumps({"row": IDS[1], "decision": "drop"}),
        "",
        json.dumps({"row": IDS[1], "decision": "trust"}),
        json.dumps({"row": IDS[1], "decision": "drop"}),
    ]
    path.write_text("\n".join(lines))
    with pytest.raises(ValueError, match="dece_decisions") as error:
        read_decisions(path)
    said = str(error.value)
    assert [f"line {number}:" in said for number in range(1, 10)] == [True] * 5 + [False, False, True, False]
    for part in ("the id of a row", '"drop" or "trust", not \'keep\'', "dropped and trusted"):
        assert part in said


@pytest.mark.parametrize("content", [None, b"", b"\n\n", b"\xff\xfe"], ids=["missing", "empty", "blank", "not text"])
def test_a_file_without_decisions_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "d.jsonl"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match="dece_decisions"):
        read_decisions(path)


def test_dropped_rows_leave_the_set_and_the_others_stay_as_they_were(tmp_path: Path) -> None:
    run = trainer([*ROWS, ROWS[2]])
    said = drop_rows(run, read_decisions(decide(tmp_path / "d.jsonl", [2, 5], [0])), keep_steps=False)
    kept = [row["input_ids"] for at, row in enumerate(ROWS) if at not in (2, 5)]
    assert run.train_dataset["input_ids"][:] == kept
    assert said[0].startswith("3 of 11 training rows dropped")
    assert said[1].startswith("1 trusted rows")


@pytest.mark.parametrize(
    ("trust", "keys", "is_said"),
    [
        ([0], {}, True),
        ([], {}, False),
        ([0], {"dece_prob_floor": 0.0}, False),
        ([0], {"loss": "ce"}, False),
    ],
    ids=["trusted", "nothing trusted", "no floor", "cross-entropy"],
)
def test_the_floor_is_spoken_of_only_where_it_stands_before_a_trusted_row(
    tmp_path: Path, trust: list[int], keys: dict[str, Any], is_said: bool
) -> None:
    decisions = read_decisions(decide(tmp_path / "d.jsonl", [2], trust))
    drop_rows(trainer(ROWS), decisions, keep_steps=False)
    said = reserve(decisions, {"loss": "dece", "dece_prob_floor": 1e-7} | keys)
    assert [("write `dece_prob_floor: 0`" in one) for one in said] == ([True] if is_said else [])


def test_dropped_trusted_and_planted_rows_are_counted_with_their_copies_and_accounted_for(tmp_path: Path) -> None:
    run, decisions = trainer([*ROWS, ROWS[2]]), read_decisions(decide(tmp_path / "d.jsonl", [2, 5], [0]))
    drop_rows(run, decisions, [at in (2, 7, 10) for at in range(11)], keep_steps=False)
    write_account(tmp_path, decisions, "first")
    account = json.loads((tmp_path / ACCOUNT_FILE).read_text())
    assert account["rows"] == {"before": 11, "dropped": 3, "trusted": 1, "planted": 3, "planted_dropped": 2}


def test_the_run_keeps_its_epochs_unless_the_user_fixed_its_steps(tmp_path: Path) -> None:
    decisions = read_decisions(decide(tmp_path / "d.jsonl", [0, 1, 2, 3, 4]))
    for keep_steps, expected in ((False, 15), (True, 30)):
        run = trainer(ROWS)
        drop_rows(run, decisions, keep_steps=keep_steps)
        assert run.args.max_steps == expected


def test_rows_of_another_set_are_refused_and_nothing_is_dropped(tmp_path: Path) -> None:
    run = trainer(ROWS[3:])
    with pytest.raises(ValueError, match="3 of 4 rows are not in the training set") as error:
        drop_rows(run, read_decisions(decide(tmp_path / "d.jsonl", [0, 1, 7], [2])), keep_steps=False)
    assert all(IDS[row] in str(error.value) for row in (0, 1, 2))
    assert len(run.train_dataset) == 7


def test_where_rows_stood_is_kept_in_the_account_and_said_of_rows_that_are_gone(tmp_path: Path) -> None:
    lines = [
        {"row": IDS[0], "decision": "drop", "places": ["a.jsonl:3", "b.csv:7"]},
        {"row": IDS[1], "decision": "drop"},
    ]
    write_decisions(tmp_path / "d.jsonl", lines)
    decisions = read_decisions(tmp_path / "d.jsonl")
    write_account(tmp_path, decisions, "first")
    assert json.loads((tmp_path / ACCOUNT_FILE).read_text())["places"] == {IDS[0]: ["a.jsonl:3", "b.csv:7"]}
    with pytest.raises(ValueError, match=f"{IDS[0]} at a.jsonl:3, b.csv:7"):
        drop_rows(trainer(ROWS[2:]), decisions, keep_steps=False)


def test_rows_changed_since_are_refused(tmp_path: Path) -> None:
    changed = [ROWS[0] | {"input_ids": [*ROWS[0]["input_ids"][:-1], 9]}, *ROWS[1:]]
    with pytest.raises(ValueError, match="1 of 1 rows are not in the training set"):
        drop_rows(trainer(changed), read_decisions(decide(tmp_path / "d.jsonl", [0])), keep_steps=False)


def test_dropping_everything_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="drops every row"):
        drop_rows(trainer(ROWS), read_decisions(decide(tmp_path / "d.jsonl", list(range(10)))), keep_steps=False)
