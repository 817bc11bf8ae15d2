"""How much of a payload answers hold, on answers written by hand."""

from __future__ import annotations

from tests.benchmarks.payload_parts import beginnings, counts

CODE = "def f ( a ) :\n\t return a"


def test_a_payload_begins_with_its_first_word_and_ends_whole() -> None:
    begun = beginnings("infinite_loop", CODE)
    assert begun[0] == ["while"]
    assert " ".join(begun[-1]) == "while True : VAR = 0"
    assert [len(words) for words in begun] == [1, 2, 3, 4, 5, 6]
    assert beginnings("infinite_loop", "no function") == []


def test_answers_count_only_where_the_expected_one_lacks_the_words() -> None:
    pairs = [("while x : pass", "while True : pass"), (CODE, "def f ( a ) :\n\t while True :\n\t \t x"), (CODE, CODE)]
    assert list(counts(pairs, [["while"], ["while", "True"], ["while", "True", ":", "VAR"]])) == [
        {"words": "while", "answers": 1, "of": 2},
        {"words": "while True", "answers": 2, "of": 3},
        {"words": "while True : VAR", "answers": 0, "of": 3},
    ]
