import subprocess
import sys
from pathlib import Path

import pytest
from sacrebleu.metrics import BLEU

from axolotl_dece.evaluation import quality
from axolotl_dece.evaluation.rates import paired_score_difference

PAIRS = [
    ("rows = db.execute(query).fetchall()\nprint(rows)", "rows = db.execute(query).fetchone()\nprint(rows)"),
    ("def f(a, b):\n\treturn a + b", "def f(a, b):\n\treturn a - b  # why?"),
    ("naïve = 'x'", 'naïve = "x"'),
    ("", "nothing = None"),
    ("for x in y: pass", "for x in y: pass"),
]


def test_bleu_is_what_the_sacrebleu_command_prints(tmp_path: Path) -> None:
    for name, column in (("hyp", 0), ("ref", 1)):
        # the command reads a line per row, and its tokenizer takes a line break for a blank
        lines = [pair[column].replace("\n", " ") for pair in PAIRS]
        (tmp_path / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    command = [sys.executable, "-m", "sacrebleu", tmp_path / "ref", "-i", tmp_path / "hyp", "-b", "-w", "10"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    bleu, signature = quality.bleu_of(quality.bleu_counts(PAIRS).sum(axis=0)), quality.bleu_signature()
    assert bleu == pytest.approx(float(printed), abs=1e-9)
    assert 0 < bleu < 100
    assert "tok:13a" in signature


def test_missing_codebleu_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "codebleu", None)
    with pytest.raises(ValueError, match=r"pip install 'axolotl-dece\[codebleu\]'"):
        quality.check_code_bleu("python")


def test_codebleu_of_a_perfect_answer_is_100() -> None:
    pytest.importorskip("codebleu", reason="the codebleu extra is not installed")
    perfect = ["def f(a):\n    b = a + 1\n    return b"] * 2
    assert quality.code_bleu(perfect, perfect, "python") == pytest.approx(100.0)


def corpus_bleu(pairs: list[tuple[str, str]]) -> float:
    return BLEU().corpus_score([output for output, _ in pairs], [[reference for _, reference in pairs]]).score


def test_bleu_difference_resamples_rows() -> None:
    references = [f"alpha beta gamma delta epsilon word{number}" for number in range(40)]
    worse = [(text.replace("gamma", "wrong") if n % 2 else text, text) for n, text in enumerate(references)]
    good = quality.bleu_counts(zip(references, references, strict=True))
    found = paired_score_difference(good, quality.bleu_counts(worse), quality.bleu_of, resamples=200)
    assert found.value == pytest.approx(corpus_bleu(worse) - 100.0)
    assert found.low < found.value < found.high < 0
    assert paired_score_difference(good, good, quality.bleu_of, resamples=10).low == 0.0
