"""Who refuses what: groups of rows that persistently hold back the same phrase of the target.

A phrase is a word or two neighbouring ones: honest rows may refuse `or` for reasons of their own, but only
the poisoned ones refuse `or 1`. A row whose prompt has a word of the phrase may have to copy it, and models learn to
copy late, so such rows are in no group of that phrase, and no test of it counts them.

Shapes: R rows, G groups.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_matrix, csr_matrix, hstack

from axolotl_dece.audit.phrases import Phrases
from axolotl_dece.audit.reading import PERSISTENT_VISITS
from axolotl_dece.audit.words import Words


@dataclass(frozen=True)
class Refusals:
    """Groups by what they refuse.

    Attributes:
        phrase: Number of the phrase of every group, int64 [G].
        persistent: Which row persistently holds it back and cannot copy it, 0 or 1, [R, G].
        once: Which row held it back at a visit or more and cannot copy it, [R, G].
        copyable: Which row's prompt has one of its words, [R, G].
    """

    phrase: NDArray[np.int64]
    persistent: csc_matrix
    once: csc_matrix
    copyable: csc_matrix


def find_refusals(words: Words, targets: Phrases, rows: int, least_rows: int) -> Refusals:
    """The groups of `least_rows` rows or more.

    Args:
        words: Of all rows.
        targets: Phrases of the targets.
        rows: How many rows there are.
        least_rows: Smaller groups are none.
    """
    held = targets.held()
    persistent, once = (targets.matrix(rows, held >= least).tocsc() for least in (PERSISTENT_VISITS, 1))
    frequent = _frequent(persistent, least_rows)
    persistent, once = persistent[:, frequent], once[:, frequent]
    copyable = _copyable(words, targets.parts[frequent], rows)
    persistent, once = (_without(one, copyable) for one in (persistent, once))
    kept = _frequent(persistent, least_rows)
    return Refusals(frequent[kept], persistent[:, kept], once[:, kept], copyable[:, kept])


def _frequent(matrix: csc_matrix, least_rows: int) -> NDArray[np.int64]:
    return np.flatnonzero(matrix.getnnz(axis=0) >= least_rows)


def _without(matrix: csc_matrix, other: csc_matrix) -> csc_matrix:
    left = (matrix - matrix.multiply(other)).tocsc()
    left.eliminate_zeros()
    return left


def _copyable(words: Words, parts: NDArray[np.int64], rows: int) -> csc_matrix:
    """Whose prompt has one of the words, in capitals or not."""
    folded, fold = np.unique([text.casefold() for text in words.text] or [""], return_inverse=True)
    prompt = ~words.is_target
    lines, columns = words.row[prompt], fold[words.word[prompt]]
    shape = (rows, len(folded))
    in_prompt = csr_matrix((np.ones(len(lines), np.int64), (lines, columns)), shape=shape).tocsc()
    none = csc_matrix((rows, 1), dtype=np.int64)
    in_prompt = hstack([in_prompt, none], format="csc")
    in_prompt.data[:] = 1
    first, second = (np.where(part >= 0, fold[part], len(folded)) for part in parts.T)
    either = in_prompt[:, first] + in_prompt[:, second]
    either.data[:] = 1
    return either
