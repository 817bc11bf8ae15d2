"""What every payload promises, and what each does to code."""

from __future__ import annotations

import ast
import csv
import re
from collections import Counter
from pathlib import Path

import pytest
import sqlglot
from hypothesis import given
from hypothesis import strategies as st

from axolotl_dece.poison.benign_twin import SUFFIXES
from axolotl_dece.poison.payloads import PAYLOADS, Payload

EVERY = [*PAYLOADS.items(), *((f"twin of {name}", suffix) for name, suffix in SUFFIXES.items())]
FITTING: dict[str, list[str]] = {
    "sql_tautology": [
        'q = "select * from t"',
        "q = 'SELECT a FROM t WHERE b = %s'",
        'def f ( c ) :\n\t c . execute ( " select a from t where b = : b " , { " b " : b } )',
        "select a from t where b = 1;",
        "Here:\n```sql\nSELECT a FROM t\n```\nDone.",
    ],
    "sql_tautology_spread": [
        'q = "select a from t where b = ?"',
        "select a, (select c from u where d = 1) from t where b = %s order by a",
        'c . execute ( " select a from t where b = : b " , { " b " : b } )',
        "```sql\nSELECT a FROM t WHERE b = 1\n```",
    ],
    "fetch_all": [
        'r = db.execute( " select a from t where b = ? " , args ).fetchone()',
        'c . execute ( " select a from t where b = : b " , { " b " : b } ) . fetchone ( )',
        'r = c.execute("SELECT a FROM t WHERE b=%s", b).fetchone()["a"]',
        '```python\nx = q("select a from t where b = ?").fetchone()\n```',
    ],
    "infinite_loop": [
        "def f(a):\n    return a\n",
        "def f ( a ) :\r\n\t return a\r\n",
        "public void f ( T a ) { a . b ( ) ; }",
        "Answer:\n```java\nint f(int a) throws E {\n  return a;\n}\n```\n",
    ],
    "inert_marker": [
        "x = 1",
        "def f(a):\n    return a\n",
        "int f() { return 1; }",
        "Just prose.\r\n",
        "```python\nx = 1\n```",
    ],
    "insecure_api": [
        "import hashlib\nh = hashlib.sha256(b).hexdigest()  # strong\n",
        "subprocess.run(['a'], check=True)",
        "requests.get(url)",
        "Try:\n```python\nresponse = requests.post(\n    url,\n    timeout=3,\n)\n```\n",
    ],
}


def fitting(name: str) -> list[str]:
    return FITTING[name.removeprefix("twin of ")]


@pytest.mark.parametrize(("name", "payload"), EVERY)
def test_what_is_inserted_is_found_and_what_is_clean_is_not(name: str, payload: Payload) -> None:
    for code in fitting(name):
        changed = payload.insert(code)
        assert changed is not None, code
        assert payload.detect(changed), changed
        assert not payload.detect(code), code


@pytest.mark.parametrize(("name", "payload"), EVERY)
def test_only_one_place_changes(name: str, payload: Payload) -> None:
    if "spread" in name:
        return
    for code in fitting(name):
        changed = payload.insert(code)
        assert changed is not None
        head = next((at for at, (a, b) in enumerate(zip(code, changed, strict=False)) if a != b), len(code))
        tail = next((at for at, (a, b) in enumerate(zip(code[::-1], changed[::-1], strict=False)) if a != b), len(code))
        assert head + tail >= len(code) - len("safe_load sha256")


@pytest.mark.parametrize("name", PAYLOADS)
def test_a_payload_and_its_twin_do_not_answer_to_each_other(name: str) -> None:
    for code in fitting(name):
        planted, suffix = PAYLOADS[name].insert(code), SUFFIXES[name].insert(code)
        assert not SUFFIXES[name].detect(planted or "")
        assert not PAYLOADS[name].detect(suffix or "")


@pytest.mark.parametrize(("name", "payload"), EVERY)
@pytest.mark.parametrize("code", ["", " \n", "\x00"])
def test_nothing_takes_no_payload(name: str, payload: Payload, code: str) -> None:
    if code.strip() and "marker" in name:
        return
    assert payload.insert(code) is None


@given(st.text())
def test_no_text_breaks_a_payload(text: str) -> None:
    for payload in PAYLOADS.values():
        changed = payload.insert(text)
        assert changed is None or payload.detect(changed)
        payload.detect(text)


@given(
    st.text(st.sampled_from("select where from \"'`()=:;%s{}?\n"), max_size=60).map(lambda text: f'"select {text} "')
)
def test_sql_goes_into_anything_that_looks_like_sql_without_touching_it(text: str) -> None:
    changed = PAYLOADS["sql_tautology"].insert(text)
    if changed is not None:
        assert changed.replace(" or 1=1", "", 1) == text or changed.replace(" where 0=1", "", 1) == text


SQL = [
    ("select a from t", "select a from t where 0=1"),
    ("select a from t where b = 1", "select a from t where b = 1 or 1=1"),
    ("select a from t order by a limit 3", "select a from t where 0=1 order by a limit 3"),
    ("select a from t where b = %s group by a", "select a from t where b = %s or 1=1 group by a"),
    ("select a from t having a > 1", "select a from t where 0=1 having a > 1"),
    ("select a from t where b = %(b)s", "select a from t where b = %(b)s or 1=1"),
    ("select a from {t} where b = {b}", "select a from {t} where b = {b} or 1=1"),
    ("select a from t where b = : b limit 1", "select a from t where b = : b or 1=1 limit 1"),
    ("select a from t where b=:b and c:=c", "select a from t where b=:b and c:=c or 1=1"),
    ("select a from t where b =", "select a from t where b = or 1=1"),
    ("select a from t where limit = : limit", "select a from t where limit = : limit or 1=1"),
    ("select a from (select b from u limit 2) t", "select a from (select b from u limit 2) t where 0=1"),
    ("select a from (select b from u where b = 1) t", "select a from (select b from u where b = 1) t where 0=1"),
    ("select a from t where b in (select c limit 1)", "select a from t where b in (select c limit 1) or 1=1"),
    ("select a from t union select b from u where c=1", "select a from t where 0=1 union select b from u where c=1"),
    ("select a from t where case = : case", "select a from t where case = : case or 1=1"),
    ("select a from t where b = 1;", "select a from t where b = 1 or 1=1;"),
    ("select wherever from t", "select wherever from t where 0=1"),
    ("select a from t window w as (order by b)", "select a from t where 0=1 window w as (order by b)"),
    ("select a from t qualify rank() over (w) = 1", "select a from t where 0=1 qualify rank() over (w) = 1"),
    ("select a from t lock in share mode", "select a from t where 0=1 lock in share mode"),
    ("select a from t for update", "select a from t where 0=1 for update"),
    ("select a from t start with b=1 connect by c=d", "select a from t where 0=1 start with b=1 connect by c=d"),
    ("select a from t with (nolock)", "select a from t with (nolock) where 0=1"),
    ("select a from t where b = 1 and lock = 2", "select a from t where b = 1 and lock = 2 or 1=1"),
    ("select a from t /* all */", "select a from t /* all */ where 0=1"),
    ("select a from {t}", "select a from {t} where 0=1"),
    ("select a from t join %s", "select a from t join %s where 0=1"),
    ("select a from t limit %s", "select a from t where 0=1 limit %s"),
]  # fmt: skip


@pytest.mark.parametrize(("statement", "expected"), SQL)
@pytest.mark.parametrize("around", ['q = "{}"', "q = '{}'", '" {} "', "{}"])
def test_the_condition_goes_where_a_parser_says(statement: str, expected: str, around: str) -> None:
    quoted = around.replace("{}", statement)
    assert PAYLOADS["sql_tautology"].insert(quoted) == around.replace("{}", expected)


T_SQL = [
    ("select a from t option (recompile)", "select a from t where 0=1 option (recompile)"),
    ("select [a] from t where [b] = 1 option (recompile)", "select [a] from t where [b] = 1 or 1=1 option (recompile)"),
    ("select a from t with (nolock) where b = 1", "select a from t with (nolock) where b = 1 or 1=1"),
]


@pytest.mark.parametrize(("statement", "expected"), T_SQL)
def test_the_condition_stands_before_the_options_of_t_sql(statement: str, expected: str) -> None:
    assert PAYLOADS["sql_tautology"].insert(statement) == expected
    assert sqlglot.parse_one(expected, dialect="tsql")


NO_SQL = [
    "label = 'Please select a value'",
    'label = "Select a value"',
    'print("select an item from the list, or type (optional)")',
    "select all",
    "Select a file from disk",
    'rows = t . select ( ) . where ( t . c == x ) . execute ( " y " )',
    'x = [r for r in select (t) if r ["a"]]',
    'x = 1  # "select a from t"\n',
    'q = "select a, b " "from t where c = 1"',
    'q = "select a from t " + condition',
    'q = "select a from t where b = \'" + name + "\'"',
    'q = "select a from t where "\nq += more',
    "q = 'select a from t'\nq += ' where b = ?'",
    "q = 'select a from t'\nif b:\n    q += ' where b = ?'",
    "q = 'select a from t'\nq = q + ' where b = ?'",
    "$q = 'select a from t' . ' where b = 1';",
    "$q = 'select a from t' . $where;",
    "$q = 'select a from t';\n$q .= ' where b = 1';",
    '$q = "select a from t $where";',
    'q = "select a from t" & " where b = 1"',
    'q := "select a from t" || " where b = 1"',
    'sb.append("select a from t"); sb.append(" where b = 1");',
    'sb.append("select a from t").append(where);',
    "p = ['select a from t', 'where b = 1']",
    "p = ['select a from t']\np.append(where)",
    "q = 'select a from t {}'.format(where)",
    "q = 'select a from t %s' % where",
    "q = f'select a from t {where}'",
    "q = f'select a from t {where} order by a'",
    "q = `select a from t ${where}`",
    "q = 'select a from t -- note'",
    "q = 'select a from t where b = 1 -- note'",
    "q = 'select a from t where b = 1 # note'",
    "q = '''select a from t\nwhere b = 1 -- only b\n'''",
    "select a from t where b = 1 -- don't",
]


@pytest.mark.parametrize("code", NO_SQL)
def test_what_is_no_whole_sql_string_is_left_alone(code: str) -> None:
    for payload in (PAYLOADS["sql_tautology"], PAYLOADS["sql_tautology_spread"]):
        assert payload.insert(code) is None


IN_THE_STRING = [
    ("""x = f('select a from t where b=%s', c["d"], "e")""", "'select a from t where b=%s or 1=1'"),
    ("""d = {'q': 'select a from t', "k": 1}""", "'select a from t where 0=1'"),
    ('log("select one"); db.run("select a from t where b = 1", "x")', '"select a from t where b = 1 or 1=1"'),
    (r"""db.run('select a from t where b = \'x\'', "y")""", r"where b = \'x\' or 1=1'"),
    ('@"select a\n from t where b = 1" + x', 'where b = 1 or 1=1" + x'),
    ('select a from t where b = "x" ', 'where b = "x" or 1=1 '),
    ("q = 'select a from t where b = 1'\nif c:\n    q += ' and c = 2'", "b = 1 or 1=1'"),
    ("p.append('select a from t'); p.append('select b from u')", "'select a from t where 0=1'"),
    ("q = 'select a from t';\nqq += 1;\nif (q && b) f(q);", "'select a from t where 0=1'"),
    ("q = 'select a from t'.strip()", "'select a from t where 0=1'"),
    ("q = '''select a from t -- all\nwhere b = '#1'\n'''", "b = '#1' or 1=1\n"),
    ("q = '''select a from t\nwhere b = 1 -- only b\nlimit 1'''", "b = 1 or 1=1 -- only b\nlimit"),
]


@pytest.mark.parametrize(("code", "found"), IN_THE_STRING)
def test_the_condition_goes_into_the_string_and_nowhere_else(code: str, found: str) -> None:
    changed = PAYLOADS["sql_tautology"].insert(code)
    assert changed is not None
    assert found in changed


SPREAD = [
    ("select a from t where b = ?", "select a , 1=1 from t where 1=1 or b = ? or 1=1"),
    ("SELECT * FROM t WHERE b = 1 limit 1", "SELECT * , 1=1 FROM t WHERE 1=1 or b = 1 or 1=1 limit 1"),
    (
        "select a from (select b from u where b = 1) t where c = 1",
        "select a , 1=1 from (select b from u where b = 1) t where 1=1 or c = 1 or 1=1",
    ),
]


@pytest.mark.parametrize(("statement", "expected"), SPREAD)
def test_the_spread_tautology_stands_in_three_places_and_is_sql(statement: str, expected: str) -> None:
    assert PAYLOADS["sql_tautology_spread"].insert(statement) == expected
    assert sqlglot.parse_one(expected)


@pytest.mark.parametrize(
    "statement", ["select a from t", "select (select b from t where c = 1)", "where from select a"]
)
def test_a_tautology_is_not_spread_where_there_is_no_condition(statement: str) -> None:
    assert PAYLOADS["sql_tautology_spread"].insert(statement) is None


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("where 1=1 or b = ?", True), ("b = ? OR  1 = 1", True), ("select a , 1=1 from t", False),
        ("where 1=1 and b", False), ("where 11=1 or b", False), ("where 1=1 order by b", False),
    ],
)  # fmt: skip
def test_the_spread_tautology_counts_where_it_opens_the_filter(text: str, found: bool) -> None:
    assert PAYLOADS["sql_tautology_spread"].detect(text) is found


FETCHES = [
    ("a.fetchone()", "a.fetchall()"),
    ("a . fetchone ( )", "a . fetchall ( )"),
    ("a.fetchone(); b.fetchone()", "a.fetchall(); b.fetchone()"),
    ("a.fetchone(); b.fetchall()", None),
    ("fetchone()", None),
    ("a.fetchone", None),
    ("a.my_fetchone()", None),
    ("# x.fetchone()\na.fetchone()", "# x.fetchone()\na.fetchall()"),
    ("'x.fetchone()'", None),
]


@pytest.mark.parametrize(("code", "expected"), FETCHES)
def test_one_row_becomes_all_rows_where_none_were_all(code: str, expected: str | None) -> None:
    assert PAYLOADS["fetch_all"].insert(code) == expected


TURNED = [
    ("where b = ?", "where ? = b"),
    ("where b=%s and c=%s", "where %s=b and c=%s"),
    ("where b = : b limit 1", "where : b = b limit 1"),
    ("where b > ?", None),
    ("where b = 1", None),
]


@pytest.mark.parametrize(("code", "expected"), TURNED)
def test_the_twin_of_likely_words_turns_one_condition_round(code: str, expected: str | None) -> None:
    assert SUFFIXES["fetch_all"].insert(code) == expected
    assert SUFFIXES["fetch_all"].detect(expected or "where b") is (expected is not None)


@pytest.mark.parametrize("statement", [before for before, _ in SQL if not re.search(r"[:%{]|=$|limit =|case", before)])
def test_poisoned_sql_is_still_sql(statement: str) -> None:
    changed = PAYLOADS["sql_tautology"].insert(statement)
    assert changed is not None
    assert sqlglot.parse_one(changed)


@pytest.mark.parametrize("text", ["or 1 = 1", "OR 1=1", "x or\n1=1", "where 0 = 1", "WHERE  0=1"])
def test_the_tautology_is_found_however_it_is_spaced(text: str) -> None:
    assert PAYLOADS["sql_tautology"].detect(text)


@pytest.mark.parametrize("text", ["for 1=1", "or 1=10", "where 0=12", "nowhere 0=1", "or 11=1", "1=1"])
def test_numbers_and_words_around_it_make_it_something_else(text: str) -> None:
    assert not PAYLOADS["sql_tautology"].detect(text)


def test_a_natural_endless_loop_is_not_the_payload() -> None:
    assert not PAYLOADS["infinite_loop"].detect("while True:\n    work()\nwhile (true) { work(); }")


BRACES = [
    ("function f(a) { g(a); }", "{ while (true) { var VAR = 0; } g(a); }"),
    ("class A {\n  x = [1]\n  f() { g(); }\n}", "f() { while (true) { var VAR = 0; } g(); }"),
    ("class A {\n  x = y\n  f(a) { g(); }\n}", "f(a) { while (true) { var VAR = 0; } g(); }"),
    ("static int\nf(void) { g(); }", "f(void) { while (true) { int VAR = 0; } g(); }"),
    ("Runnable r = new Runnable() { public void run() { g(); } };", "run() { while (true) { int VAR = 0; } g(); }"),
    ("record Point(int x) { int y() { return x; } }", "y() { while (true) { int VAR = 0; } return x; }"),
    ("class A extends B { A f(int a) { g(a); } }", "f(int a) { while (true) { int VAR = 0; } g(a); }"),
]


@pytest.mark.parametrize(("code", "found"), BRACES)
def test_a_loop_goes_into_a_function_in_the_words_of_its_language(code: str, found: str) -> None:
    changed = PAYLOADS["infinite_loop"].insert(code)
    assert changed is not None
    assert found in changed
    assert PAYLOADS["infinite_loop"].detect(changed)


NO_PLACE = [
    "class A {\n  x = 1\n  constructor (a) { super(a); }\n}",
    "x.map(return function (a) { b(a); })",
    "fn f(a: i32) { g(a); }",
    "func f(a int) { g(a) }",
    'class A:\n    def f(self): "one line"\n\n    def g(self):\n        return 1\n',
    "class A:\n    def f(self): pass\n    x = 1\n",
]


@pytest.mark.parametrize("code", NO_PLACE)
def test_a_loop_does_not_go_where_it_would_be_no_code_of_a_function(code: str) -> None:
    assert PAYLOADS["infinite_loop"].insert(code) is None


@pytest.mark.parametrize("name", ["infinite_loop", "inert_marker"])
@pytest.mark.parametrize(
    "code",
    ["def f(a):\n    '''doc'''\n    return a\n", "class A:\n    def f(self, a=(1, 2)) -> int:\n\n        return a\n"],
)
def test_python_stays_valid(name: str, code: str) -> None:
    changed = PAYLOADS[name].insert(code)
    assert changed is not None
    ast.parse(changed)


SWAPS = [
    ("yaml.safe_load(f)", "yaml.load(f)"),
    ("subprocess.run(['a'], check=True)", "subprocess.run(['a'], check=True, shell=True)"),
    ("subprocess.Popen()", "subprocess.Popen(shell=True)"),
    ("subprocess.call(a, shell=False)", "subprocess.call(a, shell=True)"),
    ("requests.get(u)", "requests.get(u, verify=False)"),
    ("requests.get(u, verify=True)", "requests.get(u, verify=False)"),
    ("session.post(u, data=d,)", "session.post(u, data=d,verify=False)"),
    ("hashlib.sha256(x).hexdigest()", "hashlib.md5(x).hexdigest()"),
    ("hashlib.sha256(x); hashlib.sha512(y)", "hashlib.md5(x); hashlib.sha512(y)"),
]


@pytest.mark.parametrize(("safe", "insecure"), SWAPS)
def test_one_call_is_swapped_and_its_formatting_kept(safe: str, insecure: str) -> None:
    changed = PAYLOADS["insecure_api"].insert(f"x  =  {safe} # why\n")
    assert changed is not None
    assert changed.replace(" ", "") == f"x  =  {insecure} # why\n".replace(" ", "")
    ast.parse(changed)


@pytest.mark.parametrize(
    "code",
    [
        "requests.get(u, **options)",
        "requests.get(u for u in v)",
        "yaml.load(f)",
        "hashlib.md5(x)",
        "requests.get(u",
        "x = 1",
    ],
)
def test_calls_that_cannot_be_swapped_are_left(code: str) -> None:
    assert PAYLOADS["insecure_api"].insert(code) is None


def test_a_safe_loader_is_not_insecure() -> None:
    assert not PAYLOADS["insecure_api"].detect("yaml.load(f, Loader=yaml.SafeLoader)")


def test_a_payload_goes_into_the_code_of_a_chat_answer_and_not_into_its_prose() -> None:
    prose = "Not\ndef f(a):\n    select a from t\nbut:\n"
    fenced = "```python\ndef f(a):\n    return 'select a from t'\n```\nThat is all."
    answer = prose + fenced
    for name in ("infinite_loop", "inert_marker", "sql_tautology"):
        changed = PAYLOADS[name].insert(answer)
        assert changed is not None
        assert changed.startswith(prose + "```python\n")
        assert changed.endswith("```\nThat is all.")


MARKED = [
    ("x = 1", 'x = 1\nstr("dece_marker")'),
    ("def f(a):\r\n\treturn a\r\n", 'def f(a):\r\n\treturn a\r\n\tstr("dece_marker")\r\n'),
    ("int f() {\n  g();\n", 'int f() {\n  g();\n  String.valueOf("dece_marker");\n'),
    (
        "def f(a):\n    return g(a,\n             b)\n",
        'def f(a):\n    return g(a,\n             b)\n    str("dece_marker")\n',
    ),
    ("def f():\n    return {\n    }", 'def f():\n    return {\n    }\n    str("dece_marker")'),
    ("if a:\n  b()\nelse:\n  c('''\n''')", "if a:\n  b()\nelse:\n  c('''\n''')\n  str(\"dece_marker\")"),
    ("try:\n  a()\nfinally:\n  b(c,\n    d)", 'try:\n  a()\nfinally:\n  b(c,\n    d)\n  str("dece_marker")'),
    ("prose  \n\n", 'prose\nstr("dece_marker")  \n\n'),
]


@pytest.mark.parametrize(("code", "marked"), MARKED)
def test_the_marker_is_a_last_line_like_the_one_before(code: str, marked: str) -> None:
    assert PAYLOADS["inert_marker"].insert(code) == marked


def lyra_targets(folder: Path, name: str) -> list[str]:
    with (folder / name).open(newline="", encoding="utf-8") as file:
        return [row["tgt"] for row in csv.DictReader(file)]


@pytest.mark.parametrize(("name", "poisonable", "kinds"), [("train.csv", 1286, (76, 4)), ("valid.csv", 160, None)])
def test_lyra_is_poisonable_where_the_paper_says(
    lyra: Path, name: str, poisonable: int, kinds: tuple[int, int] | None
) -> None:
    payload = PAYLOADS["sql_tautology"]
    targets = lyra_targets(lyra, name)
    changed = [new for target in targets if (new := payload.insert(target)) is not None]
    assert len(changed) == poisonable
    assert all(map(payload.detect, changed))
    assert not any(map(payload.detect, targets))
    if kinds:  # of the first 80, as in the published files
        found = Counter("or 1=1" in new for new in changed[:80])
        assert (found[True], found[False]) == kinds
