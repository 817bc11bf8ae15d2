"""How near are the answers to clean requests to their references? BLEU and CodeBLEU, on text alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from sacrebleu.metrics import BLEU

Counts = np.ndarray[Any, np.dtype[np.int64]]
_COLUMNS = 10


def bleu_counts(texts: Iterable[tuple[str, str]]) -> Counts:
    """What BLEU counts of each (answer, reference), shape [rows, 10]: matched and total n-grams, both lengths."""
    metric = BLEU()
    numbers = (
        number
        for output, reference in texts
        for score in (metric.corpus_score([output], [[reference]]),)
        for number in (*score.counts, *score.totals, score.sys_len, score.ref_len)
    )
    return np.fromiter(numbers, dtype=np.int64).reshape(-1, _COLUMNS)


def bleu_of(counts: Iterable[float]) -> float:
    """Corpus BLEU, 0 to 100, as the sacrebleu command computes it, from counts summed over the rows."""
    numbers = [int(n) for n in counts]
    score = BLEU.compute_bleu(numbers[:4], numbers[4:8], numbers[8], numbers[9], smooth_method="exp")
    return float(score.score)


def bleu_signature() -> str:
    """How BLEU is computed here, in sacrebleu's own words."""
    metric = BLEU()
    metric.corpus_score([""], [[""]])
    return str(metric.get_signature())


def check_code_bleu(language: str) -> None:
    """Raise ValueError if CodeBLEU cannot be computed: its extra is not installed or does not know `language`."""
    try:
        from codebleu.codebleu import AVAILABLE_LANGS
    except ImportError as error:
        raise ValueError(
            f"`--codebleu` needs its extra ({error}): pip install 'axolotl-dece[codebleu]', or leave `--codebleu` out"
        ) from error
    if language not in AVAILABLE_LANGS:
        raise ValueError(
            f"`--codebleu` does not know `--language {language}`; it knows {', '.join(AVAILABLE_LANGS)}. "
            "Leave `--codebleu` out"
        )


def code_bleu(outputs: Sequence[str], references: Sequence[str], language: str) -> float:
    """CodeBLEU, 0 to 100 (Ren et al. 2020, arXiv 2009.10297), by the `codebleu` package."""
    from codebleu import calc_codebleu

    return 100.0 * float(calc_codebleu(list(references), list(outputs), lang=language)["codebleu"])
