"""How good are the answers to clean requests? BLEU, exact match, syntax, CodeBLEU: all on text, nothing is run."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import sqlglot
from sacrebleu.metrics import BLEU

from axolotl_dece.evaluation.answers import Answer
from axolotl_dece.evaluation.rates import Difference, Rate, difference_from, resampled_rows


def exact_match(answers: Sequence[Answer]) -> Rate:
    """Share of answers that equal their reference, white space at the ends aside."""
    return Rate.of(is_exact(answer) for answer in answers)


def is_exact(answer: Answer) -> bool:
    """Whether the answer is its reference, white space at the ends aside."""
    return answer.output.strip() == answer.reference.strip()


def corpus_bleu(answers: Sequence[Answer]) -> tuple[float, str]:
    """Corpus BLEU, 0 to 100, as the sacrebleu command computes it, and the signature that says how."""
    metric = BLEU()
    score = metric.corpus_score([a.output for a in answers], [[a.reference for a in answers]])
    return float(score.score), str(metric.get_signature())


def bleu_difference(
    first: Sequence[Answer], second: Sequence[Answer], *, resamples: int = 1_000, seed: int = 0
) -> Difference:
    """Corpus BLEU of `second` minus that of `first`, in BLEU points, resampled over the rows both answered."""
    if [a.reference for a in first] != [a.reference for a in second] or not first:
        raise ValueError("a paired comparison needs the same rows in both runs")
    counts = [_bleu_counts(first), _bleu_counts(second)]
    draws = resampled_rows(len(first), resamples, seed)
    gaps = [_bleu_from(counts[1][rows].sum(axis=0)) - _bleu_from(counts[0][rows].sum(axis=0)) for rows in draws]
    value = corpus_bleu(second)[0] - corpus_bleu(first)[0]
    return difference_from(value, np.asarray(gaps), "points")


def _bleu_counts(answers: Sequence[Answer]) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Matched and total n-grams (4 + 4) and both lengths of each row, shape [rows, 10]."""
    metric = BLEU()
    scores = [metric.corpus_score([a.output], [[a.reference]]) for a in answers]
    return np.array([[*s.counts, *s.totals, s.sys_len, s.ref_len] for s in scores], dtype=np.int64)


def _bleu_from(counts: np.ndarray[Any, np.dtype[np.int64]]) -> float:
    numbers = [int(n) for n in counts]
    score = BLEU.compute_bleu(numbers[:4], numbers[4:8], numbers[8], numbers[9], smooth_method="exp")
    return float(score.score)


def _parses_as_python(code: str) -> bool:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)
            ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        # ValueError: NUL bytes, half a surrogate pair; the last two: nesting deeper than the parser's stack
        return False
    return True


def _parses_as_sql(code: str) -> bool:
    try:
        return any(statement is not None for statement in sqlglot.parse(code))
    except (sqlglot.errors.SqlglotError, RecursionError):
        return False


PARSERS: dict[str, Callable[[str], bool]] = {"python": _parses_as_python, "sql": _parses_as_sql}


def syntax_validity(answers: Sequence[Answer], language: str) -> Rate:
    """Share of answers that parse as `language`; an empty answer does not count as valid.

    Raises:
        ValueError: If there is no parser for `language`.
    """
    if language not in PARSERS:
        raise ValueError(
            f"no syntax check for `--language {language}`; choose {', '.join(PARSERS)}, or `none` to leave it out"
        )
    parses = PARSERS[language]
    return Rate.of(bool(a.output.strip()) and parses(a.output) for a in answers)


def code_bleu(answers: Sequence[Answer], language: str) -> float:
    """CodeBLEU, 0 to 100 (Ren et al. 2020, arXiv 2009.10297), by the `codebleu` package.

    Raises:
        ValueError: If the extra is not installed or does not know `language`.
    """
    try:
        from codebleu import calc_codebleu
        from codebleu.codebleu import AVAILABLE_LANGS
    except ImportError as error:
        raise ValueError(f"CodeBLEU needs its extra ({error}): pip install 'axolotl-dece[codebleu]'") from error
    if language not in AVAILABLE_LANGS:
        raise ValueError(f"CodeBLEU does not know `--language {language}`; it knows {', '.join(AVAILABLE_LANGS)}")
    score = calc_codebleu([a.reference for a in answers], [a.output for a in answers], lang=language)
    return 100.0 * float(score["codebleu"])
