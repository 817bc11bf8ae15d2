import subprocess
import sys
from pathlib import Path

import pytest

from axolotl_dece.evaluation import quality
from tests.evaluation.scripted import answer

PAIRS = [
    ("rows = db.execute(query).fetchall()\nprint(rows)", "rows = db.execute(query).fetchone()\nprint(rows)"),
    ("def f(a, b):\n\treturn a + b", "def f(a, b):\n\treturn a - b  # why?"),
    ("naïve = 'x'", 'naïve = "x"'),
    ("", "nothing = None"),
    ("for x in y: pass", "for x in y: pass"),
]


def rows(pairs: list[tuple[str, str]]) -> list:
    return [answer(output, reference, index) for index, (output, reference) in enumerate(pairs)]


def test_bleu_is_what_the_sacrebleu_command_prints(tmp_path: Path) -> None:
    for name, column in (("hyp", 0), ("ref", 1)):
        # the command reads a line per row, and its tokenizer takes a line break for a blank
        lines = [pair[column].replace("\n", " ") for pair in PAIRS]
        (tmp_path / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    command = [sys.executable, "-m", "sacrebleu", tmp_path / "ref", "-i", tmp_path / "hyp", "-b", "-w", "10"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    bleu, signature = quality.corpus_bleu(rows(PAIRS))
    assert bleu == pytest.approx(float(printed), abs=1e-9)
    assert 0 < bleu < 100
    assert "tok:13a" in signature


def test_exact_match_forgives_white_space_at_the_ends_only() -> None:
    rate = quality.exact_match(rows([("a = 1\n", "a = 1"), ("a  = 1", "a = 1")]))
    assert (rate.hits, rate.total) == (1, 2)


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
def test_python_is_parsed_and_never_run(code: str, valid: bool) -> None:
    assert bool(quality.syntax_validity([answer(code)], "python").hits) is valid


def test_answers_are_not_executed(tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    code = f"open({str(trap)!r}, 'w').close()"
    assert quality.syntax_validity([answer(code)], "python").hits == 1
    assert not trap.exists()


@pytest.mark.parametrize(("code", "valid"), [("select a from b where c = ?", True), ("select from where (", False)])
def test_sql_is_parsed(code: str, valid: bool) -> None:
    assert bool(quality.syntax_validity([answer(code)], "sql").hits) is valid


def test_a_language_without_a_parser_is_refused() -> None:
    with pytest.raises(ValueError, match="choose python, sql"):
        quality.syntax_validity([answer()], "cobol")


def test_missing_codebleu_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "codebleu", None)
    with pytest.raises(ValueError, match=r"pip install 'axolotl-dece\[codebleu\]'"):
        quality.code_bleu([answer()], "python")


def test_codebleu_of_a_perfect_answer_is_100() -> None:
    pytest.importorskip("codebleu", reason="the codebleu extra is not installed")
    perfect = rows([("def f(a):\n    b = a + 1\n    return b", "def f(a):\n    b = a + 1\n    return b")])
    assert quality.code_bleu(perfect, "python") == pytest.approx(100.0)


def test_bleu_difference_resamples_rows() -> None:
    references = [f"alpha beta gamma delta epsilon word{number}" for number in range(40)]
    good = rows([(text, text) for text in references])
    worse = rows([(text.replace("gamma", "wrong") if n % 2 else text, text) for n, text in enumerate(references)])
    found = quality.bleu_difference(good, worse, resamples=200)
    assert found.value == pytest.approx(quality.corpus_bleu(worse)[0] - 100.0)
    assert found.low < found.value < found.high < 0
    assert quality.bleu_difference(good, good, resamples=10).low == 0.0


def test_bleu_of_other_rows_is_not_compared() -> None:
    with pytest.raises(ValueError, match="same rows"):
        quality.bleu_difference(rows([("a", "a")]), rows([("a", "b")]))
