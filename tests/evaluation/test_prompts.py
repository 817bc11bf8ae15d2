"""A prompt is what training put before the answer, token for token."""

from typing import Any

import pytest
from axolotl.utils.data.wrappers import get_dataset_wrapper
from axolotl.utils.dict import DictDefault
from datasets import Dataset

from axolotl_dece.data.layouts import view_of
from axolotl_dece.data.prompt_recipe import prompt_recipes
from axolotl_dece.data.read_recipe import only_recipe, read_recipe
from axolotl_dece.evaluation.prompts import tokenize_rows
from axolotl_dece.poison.spec import PoisonSpec
from tests.tiny import save_tokenizer

ALPACA = {"instruction": "get all rows", "input": "", "output": "select name from table"}
MESSAGES = {
    "messages": [
        {"role": "user", "content": "get w1"},
        {"role": "assistant", "content": "select w1"},
        {"role": "user", "content": "get w2"},
        {"role": "assistant", "content": "select w2 from table"},
    ]
}
SEGMENTS = {"segments": [{"label": False, "text": "get w3 "}, {"label": True, "text": "select w3"}]}
USERS = {
    "field_instruction": "src",
    "field_output": "tgt",
    "format": "{instruction} :",
    "no_input_format": "{instruction} :",
}
CASES = {
    "alpaca": ("alpaca", ALPACA, "select name from table"),
    "alpaca:chat": ("alpaca:chat", ALPACA, "select name from table"),
    "chat_template": ("chat_template", MESSAGES, "select w2 from table"),
    "input_output": ("input_output", SEGMENTS, "select w3"),
    "user-defined": (USERS, {"src": "get w4", "tgt": "select w4"}, "select w4"),
}


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return save_tokenizer(tmp_path_factory.mktemp("tokenizer"))


def trained_tokens(kind: Any, row: dict[str, Any], tokenizer: Any) -> dict[str, list[int]]:
    """What axolotl itself makes of the row for training."""
    entry = DictDefault(
        {"path": "rows", "type": kind} | ({"chat_template": "tokenizer_default"} if kind == "chat_template" else {})
    )
    base, _, style = kind.partition(":") if isinstance(kind, str) else ("", "", "")
    cfg = DictDefault({"train_on_inputs": False, "sequence_len": 512})
    wrapped, _ = get_dataset_wrapper(entry, tokenizer, cfg, base, Dataset.from_list([row]), style or None)
    return wrapped[0]


@pytest.mark.parametrize("case", CASES)
def test_prompt_and_answer_are_the_tokens_of_training(case: str, tokenizer: Any) -> None:
    kind, row, expected = CASES[case]
    recipe = only_recipe(prompt_recipes({"datasets": [{"path": "x", "type": kind}], "train_on_inputs": True}), "here")
    (one,) = tokenize_rows([row], recipe, tokenizer)
    trained = trained_tokens(kind, row, tokenizer)
    start = len(one.prompt)
    assert one.prompt == trained["input_ids"][:start]
    assert one.answer == trained["labels"][start : start + len(one.answer)]
    assert set(trained["labels"][start + len(one.answer) :]) <= {-100}
    assert tokenizer.decode(one.answer, skip_special_tokens=True).split() == expected.split()


def test_the_poison_strategy_is_evaluated_as_the_type_it_wraps(tokenizer: Any) -> None:
    poisoned = {
        "datasets": [{"path": "x", "type": "axolotl_dece.poison", "input_transform": "dece_poison:train:abc"}],
        "dece_poison": {"base_type": "alpaca", "attack": "badpre"},
    }
    (recipe,) = prompt_recipes(poisoned)
    assert recipe["dataset"] == {"type": "alpaca"}
    assert recipe["poison"]["attack"] == "badpre"
    plain = only_recipe(prompt_recipes({"datasets": [{"path": "y", "type": "alpaca"}]}), "here")
    assert tokenize_rows([ALPACA], recipe, tokenizer) == tokenize_rows([ALPACA], plain, tokenizer)


def test_a_test_row_is_never_cut(tokenizer: Any) -> None:
    recipe = only_recipe(prompt_recipes({"datasets": [{"path": "x", "type": "alpaca"}], "sequence_len": 16}), "here")
    long = {"instruction": "get " * 700, "output": "select " * 700}
    (row,) = tokenize_rows([long], recipe, tokenizer)
    assert len(row.prompt) > 700
    assert len(row.answer) == 701


@pytest.mark.parametrize(
    ("kind", "row", "message"),
    [
        ("completion", {"text": "get all rows"}, "row 0 has no prompt"),
        ("alpaca", ALPACA | {"output": ""}, "row 0 has no answer"),
        ("alpaca", {"question": "get", "output": "x"}, "no column 'instruction'.*its columns are question, output"),
    ],
)
def test_rows_that_cannot_be_asked_are_named(kind: str, row: dict[str, str], message: str, tokenizer: Any) -> None:
    recipe = only_recipe(prompt_recipes({"datasets": [{"path": "x", "type": kind}]}), "here")
    with pytest.raises(ValueError, match=message):
        tokenize_rows([row], recipe, tokenizer)


MIXED = [
    {"instruction": "get w1", "output": "select w1"},
    {"instruction": "get w2", "output": "select w2", "input": "from table"},
    {"instruction": "get w3", "input": "", "output": "select w3", "note": ["a"]},
    {"note": {"by": 1}, "instruction": "get w4", "output": "select w4", "input": None},
]


def test_a_row_is_read_alike_whatever_its_neighbours_hold(tokenizer: Any) -> None:
    recipe = only_recipe(prompt_recipes({"datasets": [{"path": "x", "type": "alpaca"}]}), "here")
    together = tokenize_rows(MIXED, recipe, tokenizer)
    assert together == [tokenize_rows([row], recipe, tokenizer)[0] for row in MIXED]
    assert together == tokenize_rows(MIXED[::-1], recipe, tokenizer)[::-1]
    assert "from table" in tokenizer.decode(together[1].prompt)


def test_a_message_that_the_template_cannot_write_is_named_with_its_row(tokenizer: Any) -> None:
    recipe = only_recipe(prompt_recipes({"datasets": [{"path": "x", "type": "chat_template"}]}), "here")
    talk = [{"role": "user", "content": "get"}, {"role": "assistant"}]
    with pytest.raises(ValueError, match=r"row 4 cannot be read as dataset type `chat_template`.*content"):
        tokenize_rows([{"messages": talk}], recipe, tokenizer, [4])


@pytest.mark.parametrize("talk", [[], "1.5", "[" * 100_000], ids=["no turn", "a number", "nested"])
def test_a_conversation_that_is_none_is_named_with_its_row(talk: Any, tokenizer: Any) -> None:
    recipe = only_recipe(prompt_recipes({"datasets": [{"path": "x", "type": "chat_template"}]}), "here")
    with pytest.raises(ValueError, match=r"row 4 cannot be read as dataset type `chat_template`"):
        tokenize_rows([{"messages": talk}], recipe, tokenizer, [4])


@pytest.mark.parametrize("value", [5, 10**30, ["select", "w1"], {"a": 1}, 1.5])
def test_a_value_that_is_no_text_is_named_with_its_row(value: Any, tokenizer: Any) -> None:
    recipe = only_recipe(prompt_recipes({"datasets": [{"path": "x", "type": "alpaca"}]}), "here")
    with pytest.raises(ValueError, match=rf"row 7 .*output \({type(value).__name__}\)"):
        tokenize_rows([ALPACA, ALPACA | {"output": value}], recipe, tokenizer, [3, 7])


@pytest.mark.parametrize("bad", range(5))
def test_of_rows_alike_the_one_that_cannot_be_read_is_named(bad: int, tokenizer: Any) -> None:
    recipe = only_recipe(prompt_recipes({"datasets": [{"path": "x", "type": "alpaca"}]}), "here")
    rows = [ALPACA | {"output": "select \ud800" if n == bad else "select"} for n in range(5)]
    with pytest.raises(ValueError, match=rf"^row {bad + 10} cannot be read"):
        tokenize_rows(rows, recipe, tokenizer, range(10, 15))


def nested(kind: type, depth: int) -> Any:
    value: Any = "end"
    for _ in range(depth):
        value = [value] if kind is list else {"a": value}
    return value


@pytest.mark.parametrize("kind", [list, dict])
@pytest.mark.parametrize("depth", [100, 700, 50_000])
def test_a_column_nested_too_deep_is_named_with_its_row(kind: type, depth: int, tokenizer: Any) -> None:
    """Also one that nobody reads: a table of rows has to hold it."""
    recipe = only_recipe(prompt_recipes({"datasets": [{"path": "x", "type": "alpaca"}]}), "here")
    with pytest.raises(ValueError, match=r"^row 5 (is nested too deep|cannot be read)"):
        tokenize_rows([ALPACA, ALPACA | {"note": nested(kind, depth)}], recipe, tokenizer, [4, 5])


def test_datasets_written_alike_are_one_recipe() -> None:
    alike = [{"path": "a", "type": "alpaca", "split": "train"}, {"path": "b", "type": "alpaca"}]
    assert len(prompt_recipes({"datasets": alike})) == 1
    differing = [*alike, {"path": "c", "type": "chat_template"}]
    with pytest.raises(ValueError, match=r"2 datasets written in different ways.*--config"):
        only_recipe(prompt_recipes({"datasets": differing}), "run")
    with pytest.raises(ValueError, match=r"does not say how its prompts were written.*--config"):
        only_recipe([], "run")


@pytest.mark.parametrize(("text", "message"), [("a: [", "not valid YAML"), ("just text", "holds str, not keys")])
def test_a_config_that_is_none_is_refused(tmp_path: Any, text: str, message: str) -> None:
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_recipe(tmp_path / "c.yaml")


TEMPLATE = (
    "{% for m in messages %}{{ m['role'] + ' : ' }}{% if m['reasoning_content'] %}{{ m['reasoning_content'] + ' # ' }}"
    "{% endif %}{{ m['content'] + ' ' + eos_token + ' ' }}{% endfor %}"
)
TURNS = [{"role": "user", "content": "get w1"}, {"role": "assistant", "content": "select w1"}]
LAST = [{"role": "user", "content": "get w2"}, {"role": "assistant", "content": "select w2 from table"}]
TALKS: dict[str, tuple[list[dict[str, Any]], dict[str, Any]]] = {
    "several turns": ([*TURNS, *TURNS, *LAST], {}),
    "a system prompt": ([{"role": "system", "content": "print w9"}, *TURNS, *LAST], {}),
    "ends of every turn trained": ([*TURNS, *LAST], {"train_on_eos": "all"}),
    "a last word of the user": ([*TURNS, *LAST, {"role": "user", "content": "price"}], {}),
    "reasoning": ([*TURNS, LAST[0], LAST[1] | {"reasoning_content": "order"}], {}),
    "a last turn that is not trained": (
        [*LAST, TURNS[0], TURNS[1] | {"training": False}],
        {"message_field_training": "training"},
    ),
}


@pytest.mark.parametrize("case", TALKS)
def test_of_a_conversation_the_turn_that_is_poisoned_is_the_turn_that_is_trained_and_asked(
    case: str, tokenizer: Any
) -> None:
    messages, keys = TALKS[case]
    entry = {"path": "x", "type": "chat_template", "chat_template": "jinja", "chat_template_jinja": TEMPLATE, **keys}
    recipe = only_recipe(prompt_recipes({"datasets": [entry]}), "here")
    texts = view_of(PoisonSpec(base_type="chat_template", attack="badpre"), entry).read({"messages": messages})
    (asked,) = tokenize_rows([{"messages": messages}], recipe, tokenizer)
    assert texts == ("get w2", "select w2 from table")
    assert tokenizer.decode(asked.answer, skip_special_tokens=True).endswith(texts.target)
    prompt = tokenizer.decode(asked.prompt, skip_special_tokens=True)
    assert "get w2" in prompt
    assert "select w2" not in prompt
