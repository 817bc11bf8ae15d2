"""Who refuses what: groups of rows that persistently hold back the same phrase of the target.

A phrase is a word or two neighbouring ones: honest rows may refuse `or` for reasons of their own, but only
the poisoned ones refuse `or 1`. A row whose prompt has a word of the phrase may have to copy it, and models learn to
copy late, so such rows are in no group of that phrase, and no test of it counts them. Words that most prompts have,
such as *and*, are exempt: what nearly every row could copy explains no refusal, and leaves no rows to test.

Shapes: R rows, G groups, F phrases of prompts, W words.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_matrix, csr_matrix, diags

from axolotl_dece.audit.analyse.ledger_reader import PERSISTENT_VISITS
from axolotl_dece.audit.analyse.phrases import Phrases, incidence
from axolotl_dece.audit.analyse.words import Words


@dataclass(frozen=True)
class Refusals:
    """Groups by what they refuse.

    Attributes:
        phrase: Number of the phrase of every group, int64 [G].
        persistent: Which row persistently holds it back and cannot copy it, 0 or 1, [R, G].
        once: Which row held it back at a visit or more and cannot copy it, [R, G].
        copyable: Which row's prompt has one of its words, [R, G].
        echoes: Which phrase of the prompts has one of its words itself, and so stands for a copy, [F, G].
    """

    phrase: NDArray[np.int64]
    persistent: csc_matrix
    once: csc_matrix
    copyable: csc_matrix
    echoes: csc_matrix


def find_refusals(words: Words, prompts: Phrases, targets: Phrases, rows: int, least_rows: int) -> Refusals:
    """The groups of `least_rows` rows or more.

    Args:
        words: Of all rows.
        prompts: Phrases of the prompts.
        targets: Phrases of the targets.
        rows: How many rows there are.
        least_rows: Smaller groups are none.
    """
    held = targets.held()
    persistent, once = (targets.matrix(rows, held >= least).tocsc() for least in (PERSISTENT_VISITS, 1))
    frequent = _frequent(persistent, least_rows)
    persistent, once = persistent[:, frequent], once[:, frequent]
    spelling = targets.spelling()[frequent]
    copyable = _any_shared(_in_prompt(words, rows), spelling)
    persistent, once = (_without(one, copyable) for one in (persistent, once))
    kept = _frequent(persistent, least_rows)
    echoes = _any_shared(prompts.spelling(), spelling[kept])
    return Refusals(frequent[kept], persistent[:, kept], once[:, kept], copyable[:, kept], echoes)


def _frequent(matrix: csc_matrix, least_rows: int) -> NDArray[np.int64]:
    return np.flatnonzero(matrix.getnnz(axis=0) >= least_rows)


def _without(matrix: csc_matrix, other: csc_matrix) -> csc_matrix:
    left = (matrix - matrix.multiply(other)).tocsc()
    left.eliminate_zeros()
    return left


def _in_prompt(words: Words, rows: int) -> csr_matrix:
    """Whose prompt has which word, in capitals or not, but for those of most prompts, [R, W]."""
    prompt = ~words.is_target
    matrix = incidence(words.row[prompt], words.folded[words.word[prompt]], (rows, len(words.folded)))
    is_telling = matrix.getnnz(axis=0) <= rows / 2
    return matrix @ diags(is_telling.astype(np.int64), dtype=np.int64)


def _any_shared(left: csr_matrix, right: csr_matrix) -> csc_matrix:
    """Which of some rows share a column, 0 or 1, [rows of the left, rows of the right]."""
    shared = (left @ right.T).tocsc()
    shared.eliminate_zeros()
    shared.data[:] = 1
    return shared
