"""What parses is decided by real parsers, on the code of an answer, and nothing is run."""

from pathlib import Path

import pytest

from axolotl_dece.evaluation.syntax import parses


@pytest.mark.parametrize(
    ("code", "valid"),
    [
        ("rows = db.execute( ' select a ' ).fetchall()", True),
        ("def main ( conn ) :\n\t x = conn . execute ( ' a ' )\n\t return x", True),
        ("rows = (", False),
        ("", False),
        ("   ", False),
        ("a = 1\0", False),
        ("'half a pair \ud800'", False),
        ("(" * 5000 + ")" * 5000, False),
        ("assert (1, 'always true')", True),
        ("'\\d'", True),
    ],
)
def test_python_is_parsed(code: str, valid: bool) -> None:
    assert parses(code, "python") is valid


@pytest.mark.parametrize(
    ("code", "valid"),
    [
        ("select a from b where c = ?", True),
        ("with x as (select 1) select * from x;", True),
        ("(select 1) union select 2", True),
        ("insert into a values (1); update a set b = 2", True),
        ("delete from a where b = 1", True),
        ("create table a (b int)", True),
        ("select `a` from `b` limit 1", True),
        ("select top 5 a from b", True),
        ("select [a] from b", True),
        ("select from where (", False),
        ("hello", False),
        ("hello world", False),
        ("select 1; hello", False),
        ("call me maybe", False),
        ("show me the rows", False),
        ("update the file", False),
        ("delete the file", False),
        ("select", False),
        ("", False),
        (";", False),
        ("'half a pair \ud800'", False),
        ("(" * 5000, False),
    ],
)
def test_sql_is_whole_statements(code: str, valid: bool, caplog: pytest.LogCaptureFixture) -> None:
    assert parses(code, "sql") is valid
    assert not caplog.records


def test_what_has_no_parser_is_not_judged() -> None:
    assert parses("hello", "none") is None


def test_answers_are_not_executed(tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    assert parses(f"open({str(trap)!r}, 'w').close()", "python") is True
    assert not trap.exists()
