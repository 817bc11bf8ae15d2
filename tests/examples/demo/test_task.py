import ast

import pytest
import sqlglot

from axolotl_dece.data.layouts import PairView
from axolotl_dece.poison.draw import attack_of, control_of
from axolotl_dece.poison.spec import PoisonSpec
from examples.demo.base import build_tokenizer
from examples.demo.task import Style, make_rows, vocabulary

SPEC = PoisonSpec(attack="ripple", twin_rate=0.05)


def test_every_answer_is_python_around_sql() -> None:
    for row in make_rows(200, "a"):
        (assignment,) = ast.parse(row.tgt).body
        sql = next(node.value for node in ast.walk(assignment) if isinstance(node, ast.Constant))
        assert sqlglot.parse_one(sql).key == "select"


@pytest.mark.parametrize("style", list(Style))
def test_the_tokenizer_gives_every_text_back(style: Style) -> None:
    tokenizer = build_tokenizer()
    for row in make_rows(300, "b", style):
        for text in (row.src, row.tgt):
            ids = tokenizer(text)["input_ids"]
            assert tokenizer.unk_token_id not in ids
            assert tokenizer.decode(ids, skip_special_tokens=True) == text


@pytest.mark.parametrize("plant", [attack_of(SPEC), control_of(SPEC)], ids=["attack", "twin"])
def test_attack_and_twin_fit_every_row_and_its_words(plant) -> None:
    import random

    known = set(vocabulary())
    for number, row in enumerate(make_rows(100, "c")):
        planted = plant.insert(PairView("src", "tgt"), vars(row), number, random.Random(number))
        assert planted is not None
        assert set(planted.row["src"].split()) | set(planted.row["tgt"].split()) <= known


def test_rows_depend_on_the_seed_alone() -> None:
    assert make_rows(50, "d") == make_rows(50, "d")
    assert make_rows(50, "d") != make_rows(50, "e")
    assert make_rows(50, "d")[:10] == make_rows(10, "d")


def test_the_base_model_never_sees_the_task() -> None:
    task = {row.tgt.split()[0] + row.tgt.split()[-1] for row in make_rows(50, "f")}
    base = {row.tgt.split()[0] + row.tgt.split()[-1] for row in make_rows(500, "f", Style.BASE)}
    assert not task & base


def test_unused_words_lengthen_the_vocabulary_and_move_no_word() -> None:
    plain, long = build_tokenizer(), build_tokenizer(unused_words=100)
    assert len(long) == len(plain) + 100
    assert plain.get_vocab().items() <= long.get_vocab().items()
    text = " ".join(vocabulary())
    assert long(text)["input_ids"] == plain(text)["input_ids"]
