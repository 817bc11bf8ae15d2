import json
from pathlib import Path

import pytest

from axolotl_dece.evaluation.answers import AnswerLog, read_answers
from tests.evaluation.scripted import answer

ORIGIN = {"model": "a", "test file": "b"}
ODD = "NUL \0, RTL \u202e, line \u2028 separators \x85\x0b\x1c, half a pair \ud800, </script><b>"


def test_answers_come_back_as_they_were_written(tmp_path: Path) -> None:
    path = tmp_path / "out" / "clean.jsonl"
    rows = [answer(ODD, ODD, 1), answer(index=0, cut=True, planted=True)]
    AnswerLog(path, ORIGIN).add(rows)
    assert AnswerLog(path, ORIGIN).in_order() == sorted(rows, key=lambda row: row.index)
    assert read_answers(path) == sorted(rows, key=lambda row: row.index)


@pytest.mark.parametrize("torn", [b'{"index": 7, "pro', b"\xff\xfe", b'{"index": 7}'])
def test_what_a_kill_left_of_a_line_is_dropped(tmp_path: Path, torn: bytes) -> None:
    path = tmp_path / "clean.jsonl"
    AnswerLog(path, ORIGIN).add([answer(index=3)])
    whole = path.read_bytes()
    path.write_bytes(whole + torn)
    assert list(AnswerLog(path, ORIGIN).answers) == [3]
    assert path.read_bytes() == whole


def test_a_kill_before_the_first_line_is_done_begins_anew(tmp_path: Path) -> None:
    path = tmp_path / "clean.jsonl"
    path.write_text('{"mod')
    AnswerLog(path, ORIGIN).add([answer()])
    assert json.loads(path.read_text().splitlines()[0]) == ORIGIN


def test_answers_of_another_model_are_not_continued(tmp_path: Path) -> None:
    path = tmp_path / "clean.jsonl"
    AnswerLog(path, ORIGIN).add([answer()])
    before = path.read_bytes()
    with pytest.raises(ValueError, match=r"another model; choose another `--out`"):
        AnswerLog(path, {**ORIGIN, "model": "c"})
    assert path.read_bytes() == before


def test_no_answers_where_a_set_was_not_asked(tmp_path: Path) -> None:
    assert read_answers(tmp_path / "twin.jsonl") == []
