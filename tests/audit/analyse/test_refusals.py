"""Groups are rows that refuse the same phrase, and could not have copied it."""

from __future__ import annotations

import numpy as np
import pytest
from transformers import PreTrainedTokenizerFast

from axolotl_dece.audit.analyse.phrases import Features, Phrases
from axolotl_dece.audit.analyse.refusals import Refusals, find_refusals, spelling
from axolotl_dece.audit.analyse.words import Words
from tests.audit.rows import Story, piece_tokenizer

Told = tuple[list[str], list[str], dict[int, int]]
REFUSES: Told = ([" bb"], [" or", " 1", " ("], {0: 3})
PLAIN: Told = ([" bb"], [" ("], {})


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return piece_tokenizer()


def refusals(tokenizer: PreTrainedTokenizerFast, told: list[Told], least_rows: int) -> tuple[Refusals, Phrases]:
    """What is refused in rows so told, and the phrases of their targets."""
    story = Story()
    story.told = list(told)
    rows = story.rows(tokenizer)
    words = Words(rows, tokenizer)
    targets = Phrases(words, words.held > 0)
    return find_refusals(words, targets, rows, least_rows), targets


def groups(tokenizer: PreTrainedTokenizerFast, told: list[Told], least_rows: int) -> dict[str, tuple[list[int], ...]]:
    """Of every refused phrase the rows that persistently do, those that did once, and those that may copy it."""
    found, targets = refusals(tokenizer, told, least_rows)
    return {
        targets.name(phrase): (
            found.persistent[at].tolist(),
            found.once[at].tolist(),
            sorted({int(row) for rows in found.copyable(at) for row in rows}),
        )
        for at, phrase in enumerate(found.phrase)
    }


def test_a_group_refuses_a_word_or_a_pair_with_it(tokenizer: PreTrainedTokenizerFast) -> None:
    once: Told = ([" bb"], [" or", " 1", " ("], {0: 1})
    honest: Told = ([" bb"], [" or", " ("], {0: 2})
    found = groups(tokenizer, [REFUSES, REFUSES, once, honest], 2)
    assert found == {"or": ([0, 1, 3], [0, 1, 2, 3], []), "or 1": ([0, 1], [0, 1, 2], [])}


def test_a_row_that_may_copy_the_word_is_in_no_group_of_it(tokenizer: PreTrainedTokenizerFast) -> None:
    """Written in capitals it is the same word; the pair may be copied in part."""
    copies: Told = ([" bb", " OR"], [" or", " 1", " ("], {0: 3})
    found = groups(tokenizer, [REFUSES, REFUSES, copies], 2)
    assert found == {"or": ([0, 1], [0, 1], [2]), "or 1": ([0, 1], [0, 1], [2])}


def test_rows_that_may_copy_do_not_make_a_group_large_enough(tokenizer: PreTrainedTokenizerFast) -> None:
    copies: Told = ([" or"], [" or", " ("], {0: 3})
    assert groups(tokenizer, [REFUSES, copies, copies, PLAIN], 2) == {}


def test_a_word_that_most_prompts_have_is_no_copy(tokenizer: PreTrainedTokenizerFast) -> None:
    """`and` is in nearly every request; that it is, is no reason to refuse it in a few answers."""
    says_it: Told = ([" bb", " or"], [" or", " 1", " ("], {0: 3})
    other: Told = ([" bb", " or"], [" ("], {})
    found = groups(tokenizer, [says_it, says_it, other, PLAIN], 2)
    assert found == {"or": ([0, 1], [0, 1], []), "or 1": ([0, 1], [0, 1], [])}
    assert groups(tokenizer, [says_it, says_it, PLAIN, PLAIN], 2) == {}, "half of them is not most"


def test_words_of_a_group_are_spelled_without_capitals(tokenizer: PreTrainedTokenizerFast) -> None:
    """So that a phrase of the prompt that has one of them is known for its echo."""
    story = Story()
    story.told = [([" bb", " OR", " 1"], [" or", " ("], {0: 3})] * 2
    rows = story.rows(tokenizer)
    words = Words(rows, tokenizer)
    targets, prompts = Phrases(words, words.held > 0), Features(words, 2, least=1)
    found = find_refusals(words, targets, rows, 2)
    assert [targets.name(phrase) for phrase in found.phrase] == ["or", "or ("]
    spelled = spelling(words, prompts.parts)
    for of_group in found.spelled:
        is_echo = np.isin(spelled, of_group[of_group >= 0]).any(axis=1)
        assert {prompts.name(at) for at in np.flatnonzero(is_echo)} == {"OR", "bb OR", "OR 1"}


def test_a_word_in_the_target_alone_is_no_copy(tokenizer: PreTrainedTokenizerFast) -> None:
    twice: Told = ([" bb"], [" or", " ", " or"], {0: 3})
    assert groups(tokenizer, [twice, twice], 2)["or"] == ([0, 1], [0, 1], [])
