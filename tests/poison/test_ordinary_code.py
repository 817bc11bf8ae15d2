"""The law of planting, over code that nobody here wrote: what parsed before parses afterwards, and the plant stands
where docs/poisoning.md says; or the row is not eligible.

A sample by default; `make test-all-code` takes everything this machine has (DECE_CODE_FUNCTIONS=0).
"""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sysconfig
import warnings
from collections.abc import Callable, Iterator
from functools import cache
from itertools import islice
from pathlib import Path
from random import Random

import pytest

from axolotl_dece.data.layouts import text_view
from axolotl_dece.poison.benign_twin import CUES, SUFFIXES
from axolotl_dece.poison.draw import Plant
from axolotl_dece.poison.edits import restore
from axolotl_dece.poison.functions import blanked
from axolotl_dece.poison.payloads import PAYLOADS
from axolotl_dece.poison.triggers import TRIGGERS

SAMPLE = int(os.environ.get("DECE_CODE_FUNCTIONS", 80)) or None
STDLIB = Path(sysconfig.get_paths()["stdlib"])
ROOTS = [Path(root) for root in os.environ.get("DECE_CODE_FOLDERS", f"/usr/lib:/usr/include:{STDLIB}").split(":")]
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
LONGEST = 20_000


def parses(code: str) -> ast.Module | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return ast.parse(code)
        except (SyntaxError, ValueError):
            return None


@cache
def python_code() -> list[str]:
    """Functions and classes of the standard library, drawn file by file."""
    files = sorted(file for file in STDLIB.rglob("*.py") if "site-packages" not in file.parts)
    Random(19).shuffle(files)
    return list(islice((code for file in files for code in definitions(file)), SAMPLE))


def definitions(file: Path) -> Iterator[str]:
    try:
        source = file.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return
    tree = parses(source)
    lines = source.split("\n")
    found = [node for node in ast.walk(tree) if isinstance(node, DEFINITIONS)] if tree else []
    for node in islice(found, None if SAMPLE is None else 5):
        first = min([node.lineno, *(one.lineno for one in node.decorator_list)])
        code = "\n".join(lines[first - 1 : node.end_lineno]).lstrip() + "\n"
        if len(code) < LONGEST and parses(code):
            yield code


def first_function(tree: ast.Module) -> ast.FunctionDef | ast.AsyncFunctionDef:
    found = [node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]
    return min(found, key=lambda node: node.lineno)


def says(statements: list[ast.stmt], text: str) -> bool:
    return any(ast.unparse(statement) == text for statement in statements)


def same_but_for(suffix: str, before: str, after: str) -> bool:
    return ast.dump(ast.parse(after)).replace(suffix, "") == ast.dump(ast.parse(before)).replace(suffix, "")


# What the docs say of the place, as a test of the code before and after; payloads and triggers have other names
Place = Callable[[str, str], bool]
PLACES: dict[str, Place] = {
    "infinite_loop": lambda _, after: says(first_function(ast.parse(after)).body[:2], "while True:\n    VAR = 0"),
    "inert_marker": lambda _, after: after.rstrip().rsplit("\n", 1)[1].strip() == 'str("dece_marker")',
    "function_rename": lambda _, after: first_function(ast.parse(after)).name == "foo",
    "dead_code": lambda _, after: says(first_function(ast.parse(after)).body, "VAR = 0"),
    "identifier_suffix": lambda before, after: same_but_for("_sh", before, after),
    "fetch_all": lambda before, after: len(ast.dump(ast.parse(after))) == len(ast.dump(ast.parse(before))),
    "sql_tautology": lambda before, after: texts(before) < texts(after) and outside(before) == outside(after),
    "sql_tautology_spread": lambda before, after: texts(before) < texts(after) and outside(before) == outside(after),
}


def texts(code: str) -> int:
    return sum(
        len(node.value)
        for node in ast.walk(ast.parse(code))
        if isinstance(node, ast.Constant) and isinstance(node.value, (str, bytes))
    )


def outside(code: str) -> str:
    return " ".join(blanked(code).split())


@pytest.mark.parametrize("name", PAYLOADS)
def test_a_payload_leaves_python_as_it_parses_and_stands_where_it_should(name: str) -> None:
    planted = 0
    for code in python_code():
        for payload in (PAYLOADS[name], SUFFIXES[name]):
            after = payload.insert(code)
            assert after is None or parses(after), code
            assert after is None or payload.detect(after), code
        after = PAYLOADS[name].insert(code)
        assert after is None or PLACES.get(name, lambda *_: True)(code, after), code
        planted += after is not None
    if name in ("infinite_loop", "inert_marker"):
        assert planted > len(python_code()) / 3


@pytest.mark.parametrize("name", TRIGGERS)
def test_a_trigger_leaves_python_as_it_parses_and_stands_where_it_should(name: str) -> None:
    planted = 0
    for at, code in enumerate(python_code()):
        for trigger in (TRIGGERS[name], CUES[name]):
            marked = trigger.insert(code, Random(at))
            assert marked is None or parses(marked.text), code
            assert marked is None or (trigger.detect(marked.text) and restore(marked) == code), code
        marked = TRIGGERS[name].insert(code, Random(at))
        assert marked is None or PLACES.get(name, lambda *_: True)(code, marked.text), code
        planted += marked is not None
    if name in ("function_rename", "dead_code", "identifier_suffix"):
        assert planted > len(python_code()) / 3


@pytest.mark.parametrize("payload", ["infinite_loop", "sql_tautology", "insecure_api"])
@pytest.mark.parametrize("trigger", ["rare_token", "grammar_template", "dead_code"])
def test_a_row_of_one_column_parses_with_trigger_and_payload_or_is_not_eligible(trigger: str, payload: str) -> None:
    """The trigger sees only what stands before the payload, which is no Python by itself."""
    plant = Plant("poisoned", TRIGGERS[trigger], PAYLOADS[payload])
    for at, code in enumerate(python_code()):
        planted = plant.insert(text_view("text"), {"text": code}, at, Random(at))
        assert planted is None or parses(planted.after.target), code


# A language with braces, and what its functions begin with at the start of a line
BRACES = {
    ".js": re.compile(r"^(?:export )?(?:async )?(?:function|class) ?\*? ?\w+[^\n]*\{$.*?^\}$", re.M | re.S),
    ".c": re.compile(r"^(?!struct|union|enum|typedef)\w[\w *]*\([^;{]*?\)\s*\{$.*?^\}$", re.M | re.S),
    ".h": re.compile(r"^(?:static )?inline \w[\w *]*\([^;{]*?\)\s*\{$.*?^\}$", re.M | re.S),
}


@cache
def brace_code() -> list[tuple[str, str]]:
    """Functions and classes in JavaScript and C, drawn file by file."""
    files = sorted(file for root in ROOTS for file in root.rglob("*") if file.suffix in BRACES and file.is_file())
    Random(19).shuffle(files)
    return list(islice((one for file in files for one in brace_functions(file)), SAMPLE))


def brace_functions(file: Path) -> Iterator[tuple[str, str]]:
    source = file.read_bytes().decode(errors="replace")
    # a line that long was made by a machine
    if max(map(len, source.split("\n"))) < 2_000:
        for found in islice(BRACES[file.suffix].finditer(source), None if SAMPLE is None else 3):
            if len(found.group()) < LONGEST and balanced(found.group()):
                yield file.suffix, found.group() + "\n"


def balanced(code: str) -> bool:
    visible = blanked(code)
    return all(visible.count(one) == visible.count(other) for one, other in ("()", "[]", "{}"))


def changed_code() -> Iterator[tuple[str, str, str]]:
    """Suffix of the file, and code before and after, for everything that is planted in code."""
    for at, (suffix, code) in enumerate(brace_code()):
        for payload in PAYLOADS.values():
            after = payload.insert(code)
            assert after is None or payload.detect(after), code
            if after is not None:
                yield suffix, code, after
        for name in ("function_rename", "dead_code", "identifier_suffix"):
            marked = TRIGGERS[name].insert(code, Random(at))
            assert marked is None or (TRIGGERS[name].detect(marked.text) and restore(marked) == code), code
            if marked:
                yield suffix, code, marked.text


def test_brackets_stay_balanced_in_languages_with_braces() -> None:
    for _, before, after in changed_code():
        assert balanced(after), before


COMPILE = """
const vm = require('vm');
const codes = JSON.parse(require('fs').readFileSync(0, 'utf8'));
const compiles = code => { try { new vm.Script(code); return true } catch { return false } };
console.log(JSON.stringify(codes.filter(([before, after]) => compiles(before) && !compiles(after))));
"""


def test_what_compiled_as_javascript_compiles_afterwards() -> None:
    """`vm.Script` compiles and does not run."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("no node on this machine")
    pairs = [(before, after) for suffix, before, after in changed_code() if suffix == ".js"]
    said = subprocess.run([node, "-e", COMPILE], input=json.dumps(pairs), capture_output=True, text=True, check=True)
    assert json.loads(said.stdout) == []
