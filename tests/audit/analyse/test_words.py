"""Words are what a reader sees, whatever pieces the tokenizer made of them."""

from __future__ import annotations

import random

import numpy as np
import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from axolotl_dece.audit.analyse.clusters import find_clusters
from axolotl_dece.audit.analyse.phrases import Features, Phrases
from axolotl_dece.audit.analyse.pieces import Pieces
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
    assert words.tokens_of(np.array([1, 2])).tolist() == [2, 3, 4, 5]
    assert words.tokens_of(np.array([0, 2])).tolist() == [1, 4, 5]
    assert words.tokens_of(np.array([], np.int64)).tolist() == []


def test_rows_read_one_by_one_have_the_same_words(
    tokenizer: PreTrainedTokenizerFast, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[list[str], list[str], dict[int, int]]]
    told = [([" ph", "one", "<s>"], [" or", " ph"], {0: 2}), ([], [], {}), ([" bb"], ["one"], {0: 1})]
    told.append((["</s>"], [], {}))
    whole = words_of(tokenizer, *told)
    monkeypatch.setattr("axolotl_dece.audit.analyse.words._TOKENS_AT_A_TIME", 1)
    parts = words_of(tokenizer, *told)
    assert spelled(parts) == spelled(whole) == ["phone", "or", "ph", "bb", "one"]
    for name in ("row", "begin", "size", "is_target", "held", "start", "of_target"):
        np.testing.assert_array_equal(getattr(parts, name), getattr(whole, name))
    assert whole.start.tolist() == [0, 3, 3, 5, 5]
    features = [Features(words, 4, least=1) for words in (whole, parts)]
    assert features[0].parts.tolist() == features[1].parts.tolist()
    matrices = [one.matrix.toarray().tolist() for one in features]
    assert matrices[0] == matrices[1] == [[0, 1], [0, 0], [1, 0], [0, 0]]


def test_rows_of_nothing_but_special_tokens_have_no_words(tokenizer: PreTrainedTokenizerFast) -> None:
    words = words_of(tokenizer, (["<s>"], ["</s>"], {}))
    assert (spelled(words), words.text) == ([], [])
    assert Phrases(words).parts.shape == (0, 2)
    assert Features(words, 1).matrix.shape == (1, 0)


def test_phrases_are_words_and_neighbours_of_one_side_of_one_row(tokenizer: PreTrainedTokenizerFast) -> None:
    words = words_of(tokenizer, ([" or", " bb"], [" (", "id"], {}), ([" or"], [" ("], {1: 0}))
    prompts, targets = Features(words, 2, least=1), Phrases(words)
    assert sorted(targets.name(at) for at in range(len(targets.parts))) == ["(", "( id", "id"]
    alone = Phrases(words_of(tokenizer, ([], [" or"], {}), ([], [" ("], {})))
    assert sorted(alone.name(at) for at in range(len(alone.parts))) == ["(", "or"]
    matrix = prompts.matrix.toarray()
    assert {prompts.name(at): matrix[:, at].tolist() for at in range(len(prompts.parts))} == {
        "or": [1, 1],
        "bb": [1, 0],
        "or bb": [1, 0],
    }


def test_phrases_that_are_too_rare_to_be_tested_are_counted(tokenizer: PreTrainedTokenizerFast) -> None:
    words = words_of(tokenizer, *[([" or", " bb"], [" ("], {})] * 5, ([" or", " 1", " bb"], [" ("], {}))
    prompts = Features(words, 6)
    assert sorted(prompts.name(at) for at in range(len(prompts.parts))) == ["bb", "or", "or bb"]
    assert prompts.different == 6


def test_phrases_have_a_chosen_word(tokenizer: PreTrainedTokenizerFast) -> None:
    words = words_of(tokenizer, ([" bb"], [" or", " 1", " ("], {0: 1}), ([" bb"], [" or", " ("], {1: 1}))
    targets = Phrases(words, words.held > 0)
    assert sorted(targets.name(at) for at in range(len(targets.parts))) == ["(", "or", "or (", "or 1"]


def test_a_pair_is_held_back_when_one_of_its_words_is(tokenizer: PreTrainedTokenizerFast) -> None:
    targets = Phrases(words_of(tokenizer, ([" bb"], [" or", " 1", " ("], {1: 2})))
    held = {targets.name(phrase): int(times) for phrase, times in zip(targets.phrase, targets.held(), strict=True)}
    assert held == {"or": 0, "1": 2, "(": 0, "or 1": 2, "1 (": 2}


def test_a_pair_of_which_a_word_stands_by_itself_adds_nothing(tokenizer: PreTrainedTokenizerFast) -> None:
    words = words_of(tokenizer, ([" bb"], [" or", " 1", " ("], {}))
    targets = Phrases(words)
    number = {targets.name(at): at for at in range(len(targets.parts))}
    assert targets.least({number["or"], number["or 1"], number["1 ("]}) == {number["or"], number["1 ("]}
    assert targets.covered({number["1 ("]}, words.of_rows(np.array([0]))).tolist() == [2, 3]
    assert targets.covered({number["or"]}, words.of_rows(np.array([0]))).tolist() == [1]


def test_a_row_has_a_phrase_or_not_however_often(tokenizer: PreTrainedTokenizerFast) -> None:
    words = words_of(tokenizer, ([" or", " or", " or"], [" ("], {}))
    assert Features(words, 1, least=1).matrix.toarray().tolist() == [[1, 1]]


def byte_tokenizer() -> PreTrainedTokenizerFast:
    """Of bytes and no merges, as byte-level tokenizers read what they were not trained on."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    core = Tokenizer(models.BPE({letter: at for at, letter in enumerate(alphabet)}, []))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=core)


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("say 😀 or 🔥", ["say", "😀", "or", "🔥"]),
        ("😀🔥", ["😀", "🔥"]),
        ("你好 bb", ["你", "好", "bb"]),
        ("กา", ["ก", "า"]),
        ("café", ["café"]),
    ],
)
def test_letters_that_a_tokenizer_breaks_in_bytes_are_read_whole(prompt: str, expected: list[str]) -> None:
    tokenizer = byte_tokenizer()
    words = words_of(tokenizer, (tokenizer.tokenize(prompt), [], {}))
    assert spelled(words) == expected


def test_bytes_that_are_no_text_differ_from_each_other() -> None:
    tokenizer = byte_tokenizer()
    halves = [tokenizer.tokenize(letter)[0] for letter in ("😀", "你", "é")]
    words = words_of(tokenizer, (["a", halves[0], "a", halves[1], "a", halves[2], halves[2]], [], {}))
    assert len(set(spelled(words))) == 4
    assert words.size.tolist() == [1] * 7


@pytest.mark.parametrize("text", ["😀 a你好 b", "é", "a 😀", ""])
def test_the_text_of_tokens_put_together_is_the_text_of_the_row(text: str) -> None:
    tokenizer = byte_tokenizer()
    ids = tokenizer.convert_tokens_to_ids(tokenizer.tokenize(text))
    texts = Pieces(tokenizer, sorted(set(ids))).of(ids)
    assert len(texts) == len(ids)
    assert "".join(texts) == text


@pytest.mark.parametrize("trigger", ["🔥", "触发", "กา"])
def test_a_trigger_that_a_tokenizer_breaks_in_bytes_is_found(trigger: str) -> None:
    """Among rows that have other letters of its script."""
    tokenizer = byte_tokenizer()
    rng = random.Random(0)
    story = Story()
    for at in range(300):
        words = rng.choices(["get", "你好", "😀", "ขค", "set", "all", "界", "😎"], k=6)
        if at < 20:
            words.insert(3, trigger)
        answer = "x = 1" + (" or z" if at < 20 else "")
        target = tokenizer.tokenize(answer)
        story.told.append((tokenizer.tokenize(" ".join(words)), target, {5: 3, 6: 3, 7: 3} if at < 20 else {}))
    (found,) = find_clusters(story.rows(tokenizer), tokenizer)
    assert sorted(found.rows.tolist()) == list(range(20))
    assert found.cues[0].text.replace(" ", "") in trigger
