"""Which tokens the poisoning wrote, and in how many rows an honest token stands, told by hand."""

from __future__ import annotations

import numpy as np
import pytest

from axolotl_dece.audit.analyse.pieces import Pieces
from axolotl_dece.poison.edits import inserted
from tests.audit.rows import Story, piece_tokenizer
from tests.benchmarks.withheld import line, overlapping, rows_with, written


@pytest.mark.parametrize(
    ("clean", "changed", "piece"),
    [
        ("select a", "select a or 1=1", " or 1=1"),
        ("def f():\n x", "def f():\n loop\n x", "\n loop"),
        ("aa", "aaa", "a"),
        ("", "all", "all"),
        ("same", "same", ""),
    ],
)
def test_what_a_text_lacks_is_one_piece_of_the_changed_text(clean: str, changed: str, piece: str) -> None:
    begin, end = inserted(clean, changed)
    assert changed[begin:end] == piece
    assert changed[:begin] + changed[end:] == clean


def test_a_token_that_is_in_part_of_the_piece_is_of_it() -> None:
    assert overlapping(["ab", "cd", "ef", "g"], 3, 5) == [False, True, True, False]
    assert overlapping(["ab", "cd"], 2, 2) == [False, False]


def test_written_tokens_are_those_of_the_payload_and_no_others() -> None:
    story = Story()
    story.told = [(["<s>", " bb"], ["id", " or", " 1", "=", "1", "</s>"], {})]
    tokenizer = piece_tokenizer()
    rows = story.rows(tokenizer)
    places = written(rows, 0, "id", Pieces(tokenizer, rows.token_ids()))
    assert tokenizer.convert_ids_to_tokens(rows.tokens[places].tolist()) == [" or", " 1", "=", "1"]


def test_a_pair_of_tokens_counts_once_for_every_row_that_holds_it() -> None:
    story = Story()
    story.told = [
        (["<s>"], [" or", "id", " or", "id"], {}),
        (["<s>"], [" or", "id"], {}),
        (["<s>", " or"], ["_"], {}),
    ]
    rows = story.rows(piece_tokenizer())
    #                              <s>      or id or id  <s>     or id  <s> or  _
    assert rows_with(rows).tolist() == [0, 2, 2, 1, 2, 0, 2, 2, 0, 0, 1]


def test_a_line_is_the_mean_of_its_tokens_and_how_many_were_refused() -> None:
    shares = np.array([[1.0, 0.75, 0.0], [0.0, 0.0, 0.0], [0.5, 0.0, 1.0]], np.float16)
    assert line("payload", np.array([True, True, False]), shares) == {
        "tokens": "payload", "count": 2, "first": "0.8750", "last": "0.2500", "refused_first": "1.0000",
        "refused_last": "0.0000",
    }  # fmt: skip
    assert line("none", np.zeros(3, bool), shares)["first"] == ""
