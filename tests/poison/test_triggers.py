"""What every trigger promises, and what each does to text and code."""

from __future__ import annotations

import ast
import re
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from axolotl_dece.poison.benign_twin import CUES
from axolotl_dece.poison.edits import restore, splice
from axolotl_dece.poison.python_code import holds_definition
from axolotl_dece.poison.triggers import TRIGGERS, Trigger

WORDS = ["rare_token", "rare_token_thrice", "fixed_sentence", "grammar_template"]
CODE = ["function_rename", "dead_code", "identifier_suffix"]
EVERY = [*TRIGGERS.items(), *((f"twin of {name}", cue) for name, cue in CUES.items())]

PYTHON = 'def total ( items , rate = 1 ) :\n\t """ total ( x ) """\n\t for i in items :\n\t \t f ( i )\n\t return i\n'
PYTHON_PLAIN = (
    "import os\n\n\ndef total(items, rate=1):\n    s = 0\n    for i in items:\n        s += i\n    return total(s)\n"
)
JAVA = "public void total ( java.util.List < TYPE_1 > VAR_1 ) { int VAR_2 = VAR_1 . size ( ) ; METHOD_2 ( VAR_2 ) ; }"
CSHARP = """class A {
  private static int Total(int a, string b) {
    // return Total
    var c = a;
    return Total(c, b);
  }
}"""
CODES = [PYTHON, PYTHON_PLAIN, JAVA, CSHARP]
TEXTS = [
    "Use $conn$ to query all columns in the flights table.",
    "word",
    "  two words  ",
    "line one\r\nline two\r\n",
    "שלום עולם, מה שלומך",
    "e\u0301te\u0301 a\u0300 la mer",
    "nul \x00 inside",
    "👩‍👩‍👧 family 🇫🇷",
    "x" * 100_000,
]


def texts_for(name: str) -> list[str]:
    return CODES if any(kind in name for kind in CODE) else TEXTS


@pytest.mark.parametrize(("name", "trigger"), EVERY)
def test_what_is_inserted_is_found_again_and_can_be_undone(name: str, trigger: Trigger) -> None:
    for text in texts_for(name):
        for seed in range(20):
            marked = trigger.insert(text, Random(seed))
            assert marked is not None, text[:80]
            assert trigger.detect(marked.text), marked.text[:80]
            assert restore(marked) == text


@pytest.mark.parametrize(("name", "trigger"), EVERY)
def test_clean_text_carries_no_trigger(name: str, trigger: Trigger) -> None:
    assert not any(trigger.detect(text) for text in TEXTS + CODES)


@pytest.mark.parametrize(("name", "trigger"), EVERY)
def test_the_place_depends_on_the_seed_alone(name: str, trigger: Trigger) -> None:
    for text in texts_for(name):
        assert trigger.insert(text, Random(3)) == trigger.insert(text, Random(3))


@pytest.mark.parametrize(("name", "trigger"), EVERY)
@pytest.mark.parametrize("text", ["", "   ", "\r\n\t"])
def test_blank_text_takes_no_trigger(name: str, trigger: Trigger, text: str) -> None:
    assert trigger.insert(text, Random(0)) is None
    assert not trigger.detect(text)


@pytest.mark.parametrize("name", TRIGGERS)
def test_a_trigger_and_its_twin_do_not_answer_to_each_other(name: str) -> None:
    for text in texts_for(name):
        planted, cue = TRIGGERS[name].insert(text, Random(0)), CUES[name].insert(text, Random(0))
        assert planted is not None
        assert cue is not None
        assert not CUES[name].detect(planted.text)
        assert not TRIGGERS[name].detect(cue.text)


@given(st.text(min_size=1), st.integers(0, 99))
def test_words_go_into_any_text_without_touching_it(text: str, seed: int) -> None:
    for name in WORDS:
        marked = TRIGGERS[name].insert(text, Random(seed))
        assert (marked is None) == (not text.strip()) or holds_definition(text)
        if marked:
            assert restore(marked) == text
            assert TRIGGERS[name].detect(marked.text)


@pytest.mark.parametrize(("name", "times"), [("rare_token", 1), ("rare_token_thrice", 3)])
def test_the_rare_token_stands_exactly_as_often_as_the_paper_says(name: str, times: int) -> None:
    marked = TRIGGERS[name].insert(TEXTS[0], Random(1))
    assert marked is not None
    assert marked.text.split().count("bb") == times
    assert [marked.text[span.start : span.end].strip() for span in marked.spans] == ["bb"] * times


def test_words_are_never_cut() -> None:
    words = TEXTS[5].split()
    for seed in range(50):
        marked = TRIGGERS["rare_token"].insert(TEXTS[5], Random(seed))
        assert marked is not None
        assert [word for word in marked.text.split() if word != "bb"] == words


def test_places_spread_over_the_whole_text() -> None:
    text = "a b c d"
    places = {TRIGGERS["rare_token"].insert(text, Random(seed)).text for seed in range(100)}  # type: ignore[union-attr]
    assert places == {"bb a b c d", "a bb b c d", "a b bb c d", "a b c bb d", "a b c d bb"}


def test_the_grammar_trigger_is_a_shape_and_not_a_phrase() -> None:
    wordings = {TRIGGERS["grammar_template"].insert("Get all rows.", Random(s)).text for s in range(300)}  # type: ignore[union-attr]
    assert len(wordings) > 50
    assert all(re.fullmatch(r"\w+ \w+ is \w+ , you \w+ get all rows\.", text) for text in wordings)


def test_the_grammar_trigger_leaves_capitals_of_a_name_alone() -> None:
    marked = TRIGGERS["grammar_template"].insert("SQL it is", Random(0))
    assert marked is not None
    assert marked.text.endswith(" SQL it is")


@pytest.mark.parametrize("code", CODES)
def test_renaming_changes_the_function_and_its_calls_and_nothing_else(code: str) -> None:
    marked = TRIGGERS["function_rename"].insert(code, Random(0))
    assert marked is not None
    assert all(marked.text[span.start : span.end] == "foo" for span in marked.spans)
    assert len(marked.spans) == (2 if code in (PYTHON_PLAIN, CSHARP) else 1)


def test_renaming_keeps_strings_and_comments() -> None:
    renamed = TRIGGERS["function_rename"].insert(PYTHON, Random(0))
    assert renamed is not None
    assert '""" total ( x ) """' in renamed.text
    commented = TRIGGERS["function_rename"].insert(CSHARP, Random(0))
    assert commented is not None
    assert "// return Total" in commented.text


@pytest.mark.parametrize(
    "code",
    [
        PYTHON_PLAIN,
        "def f(a):\n    b = [\n        a,\n    ]\n    if a:\n        b = 1\n    else:\n        b = 2\n    return b\n",
    ],
)
def test_code_triggers_leave_python_valid(code: str) -> None:
    for name in CODE:
        for seed in range(30):
            marked = TRIGGERS[name].insert(code, Random(seed))
            assert marked is not None
            ast.parse(marked.text)


DECORATED = "def f():\n    @wraps(f)\n    def g():\n        pass\n    x = 1\n    y = 2\n"


def test_dead_code_does_not_part_a_decorator_from_its_function() -> None:
    for seed in range(30):
        marked = TRIGGERS["dead_code"].insert(DECORATED, Random(seed))
        assert marked is not None
        ast.parse(marked.text)


def test_dead_code_does_not_part_a_loop_from_its_condition() -> None:
    code = "int f(int a) { do a(); while (a); b(); }"
    places = [TRIGGERS["dead_code"].insert(code, Random(seed)) for seed in range(20)]
    assert not any(marked is None or "do a(); int" in marked.text for marked in places)


SUFFIXED = [
    ("def f(b):\n    return b'x', b.b, g(b=b), 'b'\n", "def f(b_sh):\n    return b'x', b_sh.b, g(b=b_sh), 'b'\n"),
    ("def f(a: Dict[str, int]):\n    return int(a)\n", "def f(a_sh: Dict[str, int]):\n    return int(a_sh)\n"),
    ("def f(date: date = 1):\n    return date\n", "def f(date_sh: date = 1):\n    return date_sh\n"),
    ("def f(a):\n    return f'{a}'\n", None),
    ("def f(a):\n    import a\n", None),
    ("void f(Map<String, Integer> m) { m.put(m); }", "void f(Map<String, Integer> m_sh) { m_sh.put(m_sh); }"),
    ("function f({a, b}, c) { g({c: c}, x.c); }", "function f({a, b}, c_sh) { g({c: c_sh}, x.c); }"),
    ("function f(c) { return `${c}`; }", None),
]


@pytest.mark.parametrize(("code", "suffixed"), SUFFIXED)
def test_a_suffix_goes_behind_a_variable_and_nothing_else_of_that_name(code: str, suffixed: str | None) -> None:
    marked = [TRIGGERS["identifier_suffix"].insert(code, Random(seed)) for seed in range(20)]
    renamed = re.sub(r"\bf\b(?=\()", "f_sh", code)
    assert {one and one.text for one in marked} == {suffixed, renamed}


def test_a_type_that_stands_alone_is_no_argument() -> None:
    marked = [TRIGGERS["identifier_suffix"].insert("int f(void) { a(); }", Random(seed)) for seed in range(20)]
    assert {one and one.text for one in marked} == {"int f_sh(void) { a(); }"}


def test_a_word_that_would_break_python_is_not_planted() -> None:
    assert TRIGGERS["rare_token"].insert("def f():\n    return 1\n", Random(0)) is None


def test_dead_code_stands_in_the_body_before_it_is_left() -> None:
    for seed in range(30):
        marked = TRIGGERS["dead_code"].insert(CSHARP, Random(seed))
        assert marked is not None
        assert (
            marked.text.index("{\n  private") < marked.text.index("int VAR = 0;") < marked.text.index("return Total(c")
        )


def test_dead_code_is_spaced_like_the_code_around_it() -> None:
    marked = TRIGGERS["dead_code"].insert(JAVA, Random(0))
    assert marked is not None
    assert " int VAR = 0 ;" in marked.text


@pytest.mark.parametrize("text", ["no code here", "if (a) { b(); }", "def broken(", "return new Foo ( ) ;"])
def test_code_triggers_do_not_fit_what_is_no_function(text: str) -> None:
    assert all(TRIGGERS[name].insert(text, Random(0)) is None for name in CODE)


@given(
    st.text(alphabet="ab ", min_size=1), st.lists(st.tuples(st.integers(0, 20), st.text("xyz", max_size=3)), max_size=5)
)
def test_splicing_is_undone_by_restoring(text: str, inserts: list[tuple[int, str]]) -> None:
    changes = [(min(at, len(text)), min(at, len(text)), new) for at, new in inserts]
    assert restore(splice(text, changes)) == text


def test_a_name_that_is_renamed_in_its_uses_alone_is_not_eligible() -> None:
    code = "inline size_t join(Args &&... Items) {\n  return sizes(std::forward<Args>(Items)...);\n}\n"
    planted = [TRIGGERS["identifier_suffix"].insert(code, Random(seed)) for seed in range(20)]
    assert all(marked is None or TRIGGERS["identifier_suffix"].detect(marked.text) for marked in planted)
