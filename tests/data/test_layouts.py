"""Every layout of rows gives its texts, takes other ones back, and says what is wrong with a row."""

from __future__ import annotations

from typing import Any

import pytest

from axolotl_dece.data.layouts import (
    MessagesView,
    PairView,
    SegmentsView,
    Texts,
    View,
    entry_for_columns,
    text_view,
    view_of,
)
from axolotl_dece.poison.spec import PoisonSpec

TALK = [
    {"role": "system", "content": "be brief"},
    {"role": "user", "content": "first"},
    {"role": "assistant", "content": "one"},
    {"role": "user", "content": "second", "weight": 1},
    {"role": "assistant", "content": "two"},
]
SEGMENTS = [{"label": False, "text": "ask"}, {"label": True, "text": "answer"}, {"label": False, "text": "eos"}]
ROWS: list[tuple[View, dict[str, Any], Texts]] = [
    (PairView("q", "a"), {"q": "ask", "a": "answer", "n": 1}, Texts("ask", "answer")),
    (text_view("text"), {"text": "both", "n": 1}, Texts("both", "both")),
    (SegmentsView(), {"segments": SEGMENTS, "n": 1}, Texts("ask", "answer")),
    (MessagesView(), {"messages": TALK, "n": 1}, Texts("second", "two")),
]


@pytest.mark.parametrize(("view", "row", "texts"), ROWS)
def test_a_row_gives_its_texts(view: View, row: dict[str, Any], texts: Texts) -> None:
    assert view.read(row) == texts


@pytest.mark.parametrize(("view", "row", "texts"), ROWS)
def test_what_is_written_is_read_back_and_the_old_row_stays(view: View, row: dict[str, Any], texts: Texts) -> None:
    before = repr(row)
    new = Texts("new", "new") if view.joined else Texts("new input", "new target")
    changed = view.write(row, new)
    assert view.read(changed) == new
    assert repr(row) == before
    assert repr(view.write(changed, texts)) == before


def test_only_the_last_exchange_of_a_conversation_changes() -> None:
    changed = MessagesView().write({"messages": TALK}, Texts("x", "y"))["messages"]
    assert changed[:3] == TALK[:3]
    assert changed[3] == {"role": "user", "content": "x", "weight": 1}


@pytest.mark.parametrize(
    "messages",
    [
        [{"role": "user", "content": "only"}],
        [{"role": "assistant", "content": "only"}],
        [{"role": "assistant", "content": "a"}, {"role": "user", "content": "b"}],
        [{"role": "user", "content": "a"}, {"role": "assistant", "content": None}],
    ],
)
def test_a_conversation_without_an_exchange_has_a_blank_side(messages: list[dict[str, Any]]) -> None:
    texts = MessagesView().read({"messages": messages})
    assert "" in texts


def test_renamed_keys_and_roles_are_followed() -> None:
    view = view_of(
        PoisonSpec(attack="badpre", base_type="chat_template"),
        {
            "field_messages": "conversations",
            "message_property_mappings": {"role": "from", "content": "value"},
            "roles": {"user": ["person"], "assistant": ["machine"]},
        },
    )
    row = {"conversations": [{"from": "person", "value": "q"}, {"from": "machine", "value": "a"}]}
    assert view.columns == ("conversations",)
    assert view.read(row) == Texts("q", "a")


BROKEN: list[tuple[View, dict[str, Any], str]] = [
    (PairView("q", "a"), {"q": 5, "a": "x"}, r"`q` is int \('5'\), expected text"),
    (text_view("text"), {"text": ["x"]}, "`text` is list"),
    (SegmentsView(), {"segments": "x"}, "`segments` is str .*expected a list of mappings"),
    (SegmentsView(), {"segments": [{"label": "yes", "text": "x"}]}, r"`segments\[0\].label` is str"),
    (SegmentsView(), {"segments": [{"label": True, "text": 1}]}, r"`segments\[0\].text` is int"),
    (MessagesView(), {"messages": []}, "`messages` is an empty list"),
    (MessagesView(), {"messages": None}, "`messages` is NoneType"),
    (MessagesView(), {"messages": ["hello"]}, "expected a list of mappings"),
    (MessagesView(), {"messages": [{"role": "narrator", "content": "x"}]}, r"`messages\[0\].role` is 'narrator'"),
    (MessagesView(), {"messages": [{"content": "x"}]}, r"`messages\[0\].role` is None"),
    (MessagesView(), {"messages": [{"role": "tool", "content": "x"}]}, r"`messages\[0\]` is a tool call"),
    (
        MessagesView(),
        {"messages": [*TALK, {"role": "assistant", "content": "", "tool_calls": [{"name": "f"}]}]},
        r"`messages\[5\]` is a tool call",
    ),
    (
        MessagesView(),
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "x"}]}]},
        r"`messages\[0\].content` is a list of parts",
    ),
    (MessagesView(), {"messages": [{"role": "user", "content": 3}]}, r"`messages\[0\].content` is int"),
]


@pytest.mark.parametrize(("view", "row", "said"), BROKEN)
def test_a_broken_row_is_named_by_field_and_type(view: View, row: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        view.read(row)


def test_a_turn_without_its_text_is_a_blank_one() -> None:
    assert SegmentsView().read({"segments": [{"label": False}, {"label": True}]}) == Texts("", "")
    assert MessagesView().read({"messages": [{"role": "user"}, {"role": "assistant"}]}) == Texts("", "")


def test_tool_calls_that_are_empty_are_no_tool_calls() -> None:
    talk = [message | {"tool_calls": None} for message in TALK]
    assert MessagesView().read({"messages": talk}) == Texts("second", "two")


TYPES: list[tuple[Any, dict[str, Any], tuple[str, ...]]] = [
    ("alpaca", {}, ("instruction", "output")),
    ("alpaca:chat", {}, ("instruction", "output")),
    ("alpaca_chat.load_qa", {}, ("question", "answer")),
    ("oasst", {}, ("INSTRUCTION", "RESPONSE")),
    ("chat_template", {}, ("messages",)),
    ("completion", {}, ("text",)),
    ("completion", {"field": "body"}, ("body",)),
    ("input_output", {}, ("segments",)),
    ({"field_instruction": "q", "field_output": "a"}, {}, ("q", "a")),
    ({"format": "{instruction}"}, {}, ("instruction", "output")),
]


@pytest.mark.parametrize(("base", "entry", "columns"), TYPES)
def test_each_type_is_read_where_axolotl_reads_it(base: Any, entry: dict[str, Any], columns: tuple[str, ...]) -> None:
    assert view_of(PoisonSpec(attack="badpre", base_type=base), entry).columns == columns


def test_an_unknown_type_needs_its_columns() -> None:
    with pytest.raises(ValueError, match=r"set `dece_poison\.input_field` and `dece_poison\.target_field`"):
        view_of(PoisonSpec(attack="badpre", base_type="my.own"), {})
    named = PoisonSpec(attack="badpre", base_type="my.own", input_field="q", target_field="a")
    assert view_of(named, {}) == PairView("q", "a")


NAMED: list[tuple[str, dict[str, Any], str, str]] = [
    ("completion", {}, "code", "`dece_poison.input_field: code` would not be read.*here `text`.*set `field`"),
    ("chat_template", {"field_messages": "talk"}, "messages", "here `talk`; leave it out, or set `field_messages`"),
    ("input_output", {}, "code", "here `segments`; leave it out$"),
]


@pytest.mark.parametrize(("base", "entry", "named", "said"), NAMED)
def test_a_named_column_that_would_not_be_read_is_refused(
    base: str, entry: dict[str, Any], named: str, said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        view_of(PoisonSpec(attack="badpre", base_type=base, input_field=named), entry)


def test_a_column_may_be_named_that_is_read_anyway() -> None:
    spec = PoisonSpec(attack="badpre", base_type="completion", input_field="body", target_field="body")
    assert view_of(spec, {"field": "body"}) == text_view("body")
    assert view_of(spec, entry_for_columns(spec)) == text_view("body")
