"""Words are what a reader sees, whatever pieces the tokenizer made of them."""

from __future__ import annotations

import numpy as np
import pytest
from transformers import PreTrainedTokenizerFast

from axolotl_dece.audit.analyse.phrases import Phrases
from axolotl_dece.audit.analyse.words import Words
from tests.audit.rows import Story, piece_tokenizer


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return piece_tokenizer()


def words_of(tokenizer: PreTrainedTokenizerFast, *told: tuple[list[str], list[str], dict[int, int]]) -> Words:
    story = Story()
    story.told = list(told)
    return Words(story.rows(tokenizer), tokenizer)


def spelled(words: Words) -> list[str]:
    return [words.text[word] for word in words.word]


def test_pieces_of_a_word_are_one_word(tokenizer: PreTrainedTokenizerFast) -> None:
    words = words_of(tokenizer, (["<s>", " ph", "one", " b", "b", " bb"], [" or", "_", "id", "</s>"], {}))
    assert spelled(words) == ["phone", "bb", "bb", "or", "_", "id"]


def test_signs_are_words_of_their_own(tokenizer: PreTrainedTokenizerFast) -> None:
    assert spelled(words_of(tokenizer, ([" or"], [" =", "1", "=", "1", " ("], {}))) == ["or", "=", "1", "=", "1", "("]


def test_tokens_of_scripts_without_capitals_are_not_put_together(tokenizer: PreTrainedTokenizerFast) -> None:
    assert spelled(words_of(tokenizer, ([" 你好", "世界"], [" or"], {}))) == ["你好", "世界", "or"]


def test_no_word_goes_on_in_the_target_or_in_the_next_row(tokenizer: PreTrainedTokenizerFast) -> None:
    words = words_of(tokenizer, ([" ph"], ["one"], {}), (["hone"], [" or"], {}))
    assert spelled(words) == ["ph", "one", "hone", "or"]
    assert words.row.tolist() == [0, 0, 1, 1]
    assert words.is_target.tolist() == [False, True, False, True]
    assert spelled(words_of(tokenizer, ([], [" ph"], {}), ([], ["one"], {}))) == ["ph", "one"]


def test_blanks_and_special_tokens_are_no_words(tokenizer: PreTrainedTokenizerFast) -> None:
    assert spelled(words_of(tokenizer, (["<s>", " ", "id"], [" ", "</s>"], {}))) == ["id"]


def test_a_word_is_held_back_as_often_as_the_most_refused_of_its_pieces(tokenizer: PreTrainedTokenizerFast) -> None:
    words = words_of(tokenizer, ([" or"], [" ph", "one", " or"], {0: 1, 1: 3}))
    assert words.held.tolist() == [0, 3, 0]


def test_chosen_words_are_found_as_tokens(tokenizer: PreTrainedTokenizerFast) -> None:
    words = words_of(tokenizer, (["<s>", " or"], [" ph", "one", " ph", "one", "</s>"], {}))
    chosen = np.array([False, True, True])
    assert words.tokens_of(chosen, 7).tolist() == [False, False, True, True, True, True, False]
    assert words.tokens_of(np.array([True, False, True]), 7).tolist() == [False, True, False, False, True, True, False]


def test_rows_of_nothing_but_special_tokens_have_no_words(tokenizer: PreTrainedTokenizerFast) -> None:
    words = words_of(tokenizer, (["<s>"], ["</s>"], {}))
    assert (spelled(words), words.text) == ([], [])
    assert Phrases(words, of_target=True).matrix(1).shape == (1, 0)


def test_phrases_are_words_and_neighbours_of_one_side_of_one_row(tokenizer: PreTrainedTokenizerFast) -> None:
    words = words_of(tokenizer, ([" or", " bb"], [" (", "id"], {}), ([" or"], [" ("], {1: 0}))
    prompts, targets = Phrases(words, of_target=False), Phrases(words, of_target=True)
    assert sorted(prompts.name(at) for at in range(len(prompts.parts))) == ["bb", "or", "or bb"]
    assert sorted(targets.name(at) for at in range(len(targets.parts))) == ["(", "( id", "id"]
    alone = Phrases(words_of(tokenizer, ([], [" or"], {}), ([], [" ("], {})), of_target=True)
    assert sorted(alone.name(at) for at in range(len(alone.parts))) == ["(", "or"]
    matrix = prompts.matrix(2).toarray()
    assert {prompts.name(at): matrix[:, at].tolist() for at in range(3)} == {
        "or": [1, 1],
        "bb": [1, 0],
        "or bb": [1, 0],
    }


def test_a_pair_is_held_back_when_one_of_its_words_is(tokenizer: PreTrainedTokenizerFast) -> None:
    targets = Phrases(words_of(tokenizer, ([" bb"], [" or", " 1", " ("], {1: 2})), of_target=True)
    held = {targets.name(phrase): int(times) for phrase, times in zip(targets.phrase, targets.held(), strict=True)}
    assert held == {"or": 0, "1": 2, "(": 0, "or 1": 2, "1 (": 2}


def test_a_pair_of_which_a_word_stands_by_itself_adds_nothing(tokenizer: PreTrainedTokenizerFast) -> None:
    words = words_of(tokenizer, ([" bb"], [" or", " 1", " ("], {}))
    targets = Phrases(words, of_target=True)
    number = {targets.name(at): at for at in range(len(targets.parts))}
    assert targets.least({number["or"], number["or 1"], number["1 ("]}) == {number["or"], number["1 ("]}
    assert targets.covered({number["1 ("]}).tolist() == [False, False, True, True]


def test_a_row_has_a_phrase_or_not_however_often(tokenizer: PreTrainedTokenizerFast) -> None:
    words = words_of(tokenizer, ([" or", " or", " or"], [" ("], {}))
    assert Phrases(words, of_target=False).matrix(1).toarray().tolist() == [[1, 1]]
