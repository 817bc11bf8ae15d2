import errno
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from axolotl_dece.evaluation.answers import AnswerLog, read_answers
from tests.evaluation.scripted import JUDGE, PAYLOAD_CODE, answer

ORIGIN = {"model": "a", "test file": "b"}
ODD = "NUL \0, RTL \u202e, line \u2028 separators \x85\x0b\x1c, half a pair \ud800, </script><b>"


def test_answers_come_back_as_they_were_written(tmp_path: Path) -> None:
    path = tmp_path / "out" / "clean.jsonl"
    rows = [answer(ODD, ODD, 1), answer(index=0, cut=True, planted=True)]
    log = AnswerLog(path, ORIGIN)
    log.add(rows)
    assert AnswerLog(path, ORIGIN).answers == {row.index: row for row in rows}
    assert list(read_answers(path, log.identity)) == rows


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
    assert json.loads(path.read_text().splitlines()[0]) == {"format": 2, **ORIGIN}


def test_answers_of_another_model_are_not_continued(tmp_path: Path) -> None:
    path = tmp_path / "clean.jsonl"
    AnswerLog(path, ORIGIN).add([answer()])
    before = path.read_bytes()
    with pytest.raises(ValueError, match=r"another model; choose another `--out`"):
        AnswerLog(path, {**ORIGIN, "model": "c"})
    assert path.read_bytes() == before


def test_answers_of_a_version_that_noted_less_are_not_continued(tmp_path: Path) -> None:
    path = tmp_path / "clean.jsonl"
    AnswerLog(path, ORIGIN).add([answer()])
    with pytest.raises(ValueError, match=r"another version, which did not note the tokenizer; choose another `--out`"):
        AnswerLog(path, {**ORIGIN, "tokenizer": "t"})


def test_answers_that_older_rules_judged_are_judged_anew_and_none_is_asked_again(tmp_path: Path) -> None:
    path = tmp_path / "clean.jsonl"
    rules, older = JUDGE.identity["rules"], {**JUDGE.identity, "rules": 1}
    unjudged = replace(answer(PAYLOAD_CODE).verdict, payload=False, begun=None)
    AnswerLog(path, {**ORIGIN, "judge": older}).add([answer(PAYLOAD_CODE, verdict=unjudged), answer(index=1)])
    path.write_bytes(path.read_bytes() + b'{"index": 7, "pro')

    log = AnswerLog(path, {**ORIGIN, "judge": JUDGE.identity}, JUDGE.decide)
    assert list(log.answers.values()) == [answer(PAYLOAD_CODE), answer(index=1)]
    assert json.loads(path.read_text().splitlines()[0])["judge"]["rules"] == rules
    assert list(read_answers(path, log.identity)) == list(log.answers.values())


@pytest.mark.parametrize(
    "other",
    [{"model": "c"}, {"judge": {**JUDGE.identity, "language": "sql"}}, {"judge": {**JUDGE.identity, "rules": 99}}],
    ids=["model", "language", "newer rules"],
)
def test_answers_that_differ_in_more_than_older_rules_keep_every_byte(tmp_path: Path, other: dict[str, Any]) -> None:
    path = tmp_path / "clean.jsonl"
    AnswerLog(path, {**ORIGIN, "judge": {**JUDGE.identity, "rules": 1}, **other}).add([answer()])
    before = path.read_bytes()
    with pytest.raises(ValueError, match=r"another .*; choose another `--out`"):
        AnswerLog(path, {**ORIGIN, "judge": JUDGE.identity}, JUDGE.decide)
    assert path.read_bytes() == before


ROW = b'{"instruction": "get w1", "output": "select w1"}'
FOREIGN = [ROW, ROW[:20], ROW + b"\n" + ROW, b"\n" + ROW, b"plain text", b'{"format": 2}']
NO_JSON = [b"[]\n", b"{\n", b"\xff\n", b"[" * 9999 + b"\n"]


@pytest.mark.parametrize("content", FOREIGN + NO_JSON)
def test_a_file_of_somebody_else_keeps_every_byte(tmp_path: Path, content: bytes) -> None:
    """A file of rows without a last newline looks like a log that a kill cut short."""
    path = tmp_path / "clean.jsonl"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"clean\.jsonl is no log of answers.*another `--out`"):
        AnswerLog(path, ORIGIN)
    assert path.read_bytes() == content


def torn(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def broken(path: Path) -> None:
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], "{}", *lines[1:], ""]))


def old(path: Path) -> None:
    lines = path.read_text().splitlines()
    path.write_text("\n".join([json.dumps(ORIGIN), *lines[1:], ""]))


def listed(path: Path) -> None:
    path.write_text("[]\n")


def edited(path: Path) -> None:
    path.write_text(path.read_text().replace('"payload": false', '"payload": "false"'))


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (Path.unlink, r"is missing.*evaluate that run again"),
        (torn, r"ends in the middle of line 2; evaluate that run again"),
        (broken, r"line 2 is no answer.*evaluate that run again"),
        (listed, r"line 1 is no answer \(it is not an object\).*evaluate that run again"),
        (edited, r"line 2 is no answer \(`payload` is 'false'\).*evaluate that run again"),
        (old, r"has format 1, this version reads 2; evaluate that run again into a new `--out`"),
    ],
    ids=["missing", "torn", "broken", "a list", "edited", "old"],
)
def test_a_log_that_cannot_be_read_says_what_to_do(tmp_path: Path, harm: Callable[[Path], None], message: str) -> None:
    path = tmp_path / "clean.jsonl"
    AnswerLog(path, ORIGIN).add([answer()])
    harm(path)
    with pytest.raises(ValueError, match=message):
        list(read_answers(path))


def test_a_full_disk_is_named_and_keeps_what_was_answered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "clean.jsonl"
    log = AnswerLog(path, ORIGIN)
    log.add([answer()])

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(ValueError, match=r"clean\.jsonl cannot be written: .*No space left"):
            log.add([answer(index=1)])
    assert 0 in AnswerLog(path, ORIGIN).answers


def test_answers_of_another_evaluation_are_not_read(tmp_path: Path) -> None:
    path = tmp_path / "clean.jsonl"
    counted = AnswerLog(tmp_path / "other.jsonl", {**ORIGIN, "model": "c"}).identity
    AnswerLog(path, ORIGIN).add([answer()])
    with pytest.raises(ValueError, match="holds other answers than the report beside it counted"):
        list(read_answers(path, counted))
