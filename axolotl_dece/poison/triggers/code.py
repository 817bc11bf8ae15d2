"""Triggers for inputs that are code: Python, or a language with braces (Java, C, C#, JavaScript)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from random import Random

from axolotl_dece.poison import python_code
from axolotl_dece.poison.edits import Marked, splice
from axolotl_dece.poison.functions import Function, blanked, first_function


def function_name(code: str) -> str | None:
    """The name of the first function, or None."""
    found = first_function(code)
    return found.name if found else None


def rename_function(code: str, new: str) -> Marked | None:
    """Rename the first function and its calls.

    Args:
        code: Source of one or more functions.
        new: The new name.

    Returns:
        The renamed code, or None if there is no function or it has that name already.
    """
    old = function_name(code)
    if old in (None, new):
        return None
    calls = re.finditer(rf"(?<![\w.])(?<!\.\s){re.escape(str(old))}(?=\s*\()", blanked(code))
    return _replace(code, (call.start() for call in calls), str(old), new)


def insert_statement(code: str, rng: Random, name: str) -> Marked | None:
    """Plant an assignment that nothing reads, as one statement at the top of the first function's body.

    Args:
        code: Source with a function.
        rng: Draws between the places where a statement may start.
        name: The variable's name; `VAR` is the paper's.

    Returns:
        The changed code, or None if there is no function with a body.
    """
    function = first_function(code)
    if function is None or not function.statements:
        return None
    at = rng.choice(function.statements)
    return splice(code, [(at, at, _statement(function, name))])


def has_statement(code: str, name: str) -> bool:
    """Whether an unused `int VAR = 0;`, `var VAR = 0;` or `VAR = 0` stands on its own in the code."""
    braces = rf"\b(?:int|var)\s+{name}\s*=\s*0\s*;"
    return re.search(rf"(?:{braces})|(?:^[ \t]*{name} = 0[ \t]*\r?$)", code, re.M) is not None


def add_suffix(code: str, rng: Random, suffix: str) -> Marked | None:
    """Put `suffix` behind one name wherever that variable is used: the first function or one of its arguments.

    Args:
        code: Source with a function.
        rng: Draws the name.
        suffix: What to append.

    Returns:
        The changed code, or None if there is no function, or the name stands in a string that is evaluated.
    """
    function = first_function(code)
    if function is None:
        return None
    names = [name for name in (function.name, *function.arguments) if not name.endswith(suffix)]
    if not names:
        return None
    name = rng.choice(names)
    places = _uses(code, function, name)
    return None if places is None else _replace(code, places, name, name + suffix)


def has_suffix(code: str, suffix: str) -> bool:
    """Whether the first function or one of its arguments ends in `suffix`."""
    function = first_function(code)
    return function is not None and any(name.endswith(suffix) for name in (function.name, *function.arguments))


def _uses(code: str, function: Function, name: str) -> list[int] | None:
    """Where `name` stands as this function or its argument, or None where not every place is known."""
    tree = python_code.parsed(code)
    defined = tree and python_code.function_at(tree, python_code.line_of(code, function.at))
    if tree and defined:
        known = python_code.uses_of(name, tree, code, defined)
        own = [function.at] if name == function.name else []
        return None if known is None else sorted({*own, *known})
    visible = blanked(code)
    hidden = "".join(there if seen.isspace() else " " for there, seen in zip(code, visible, strict=True))
    if re.search(rf"\{{[^{{}}\n]*(?<![\w$.]){re.escape(name)}(?![\w$])", hidden):
        return None
    found = re.finditer(rf"(?<![\w$.])(?<!\.\s)(?<!->)(?<!::){re.escape(name)}(?![\w$])", visible)
    return [match.start() for match in found if not _is_key(visible, match, function)]


def _is_key(visible: str, found: re.Match[str], function: Function) -> bool:
    """Whether a word names something of a call or an object, as in `f(name=1)` or `{name: 1}`."""
    if function.head[0] <= found.start() <= function.head[1]:
        return False
    sign = r"\s*:(?!:)" if function.braces else r"\s*=(?!=)"
    before = visible[: found.start()].rstrip()[-1:]
    return bool(before) and before in "({," and re.compile(sign).match(visible, found.end()) is not None


def _replace(code: str, places: Iterable[int], old: str, new: str) -> Marked:
    return splice(code, ((at, at + len(old), new) for at in places))


def _statement(function: Function, name: str) -> str:
    if function.braces:
        semicolon = " ;" if function.spaced else ";"
        return f" {function.declares} {name} = 0{semicolon}"
    return f"{function.indent}{name} = 0{function.newline}"
