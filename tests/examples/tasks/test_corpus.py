"""The corpus: what becomes a pair, what does not, and that no source is ever run."""

from __future__ import annotations

import io
import json
import tokenize
from pathlib import Path

import pytest

from examples.tasks.corpus import installed_roots, pairs_of, python_files, read_corpus, spaced, write_corpus

FUNCTION = '''
def total(prices, tax):
    """Sum of the prices of a basket with tax.

    A second paragraph.
    """
    result = 0
    for price in prices:
        result += price * (1 + tax)
    return result
'''


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_a_function_becomes_the_first_paragraph_of_its_docstring_and_its_code_without_it(tmp_path: Path) -> None:
    [(docstring, code)] = pairs_of(write(tmp_path / "a.py", FUNCTION))
    assert docstring == "Sum of the prices of a basket with tax."
    assert code == (
        "def total ( prices , tax ) :\n\t result = 0\n\t for price in prices :\n"
        "\t \t result += price * ( 1 + tax )\n\t return result"
    )


def test_code_begins_with_the_imports_that_it_uses_and_with_no_others(tmp_path: Path) -> None:
    imports = "import os\nfrom decimal import Decimal, getcontext\nfrom csv import reader as rows\n"
    imports += "from .own import tax_of\n"
    function = FUNCTION.replace("result = 0", "result = Decimal ( tax_of ( rows ) )")
    [(_, code)] = pairs_of(write(tmp_path / "a.py", imports + function))
    assert code.splitlines()[:3] == [
        "from decimal import Decimal",
        "from csv import reader as rows",
        "def total ( prices , tax ) :",
    ]


def test_spaced_code_has_the_tokens_of_the_source() -> None:
    source = "def f(x, *, key='a b'):\n    if x[1:] != -2.5:\n        return {'k': x}\n    return lambda y: y @ x\n"

    def words(text: str) -> list[str]:
        kinds = (tokenize.NAME, tokenize.NUMBER, tokenize.OP)
        return [t.string for t in tokenize.generate_tokens(io.StringIO(text).readline) if t.type in kinds]

    assert words(spaced(source).replace("\t ", "\t")) == words(source)
    assert '" a b "' in spaced(source)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda text: text.replace('"""', "# "), "no docstring"),
        (lambda text: "@cache" + text, "decorated"),
        (lambda text: text.replace("Sum of the prices of a basket with tax.", "Sum."), "docstring too short"),
        (lambda text: text.replace("prices", "пrices"), "not ASCII"),
        (lambda text: text.replace("result = 0", "result = 0\n" + "    result += 1\n" * 80), "too long"),
        (lambda text: text.replace("def", "deff"), "not Python"),
        (lambda text: "\0" + text, "a null byte"),
    ],
)
def test_what_would_teach_nothing_is_left_out(tmp_path: Path, change: object, why: str) -> None:
    assert callable(change)
    assert list(pairs_of(write(tmp_path / "a.py", change(FUNCTION)))) == [], why


def test_sources_are_parsed_and_never_run(tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    path = write(tmp_path / "a.py", f"open({str(marker)!r}, 'w').write('x')\n{FUNCTION}")
    assert len(list(pairs_of(path))) == 1
    assert not marker.exists()


def test_a_corpus_holds_each_code_once_and_stops_where_it_is_told(tmp_path: Path) -> None:
    other = FUNCTION.replace("total", "count")
    third = FUNCTION.replace("total", "third")
    files = [write(tmp_path / f"{n}.py", text) for n, text in enumerate((FUNCTION, FUNCTION + other, third))]
    seen: list[int] = []
    write_corpus(tmp_path / "two.jsonl", files, 2, seen.append)
    assert seen == [1, 2]
    pairs = read_corpus(tmp_path / "two.jsonl")
    assert [code.split()[1] for _, code in pairs] == ["total", "count"]
    assert json.loads((tmp_path / "two.jsonl").read_text().splitlines()[0]) == list(pairs[0])


def test_a_machine_without_docstrings_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="none of 1 Python files has a function with a docstring"):
        write_corpus(tmp_path / "out.jsonl", [write(tmp_path / "a.py", "x = 1\n")], 10)


def test_files_come_without_tests_in_an_order_that_a_seed_decides(tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()
    write(tmp_path / "tests" / "test_a.py", FUNCTION)
    write(tmp_path / "huge.py", "#" * 200_001)
    wanted = {write(tmp_path / f"{n}.py", "") for n in range(20)}
    files = python_files([tmp_path, tmp_path], seed=1)
    assert set(files) == wanted
    assert len(files) == len(wanted)
    assert files == python_files([tmp_path], seed=1) != python_files([tmp_path], seed=2)


def test_the_python_of_this_machine_is_among_the_roots() -> None:
    assert any((root / "json" / "decoder.py").is_file() for root in installed_roots())
    assert any((root / "torch" / "__init__.py").is_file() for root in installed_roots())
