"""Triggers for inputs that are code: Python, or a language with braces (Java, C, C#, JavaScript)."""

from __future__ import annotations

import re
from random import Random

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
    return None if old in (None, new) else _rename(code, str(old), new, called=True)


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
    """Whether an unused `int VAR = 0;` or `VAR = 0` stands on its own in the code."""
    return re.search(rf"(?:\bint\s+{name}\s*=\s*0\s*;)|(?:^[ \t]*{name} = 0[ \t]*\r?$)", code, re.M) is not None


def add_suffix(code: str, rng: Random, suffix: str) -> Marked | None:
    """Put `suffix` behind one name everywhere it occurs: the first function or one of its arguments.

    Args:
        code: Source with a function.
        rng: Draws the name.
        suffix: What to append.

    Returns:
        The changed code, or None if there is no function.
    """
    function = first_function(code)
    if function is None:
        return None
    names = [name for name in (function.name, *function.arguments) if not name.endswith(suffix)]
    if not names:
        return None
    name = rng.choice(names)
    return _rename(code, name, name + suffix, called=False)


def has_suffix(code: str, suffix: str) -> bool:
    """Whether the first function or one of its arguments ends in `suffix`."""
    function = first_function(code)
    return function is not None and any(name.endswith(suffix) for name in (function.name, *function.arguments))


def _rename(code: str, old: str, new: str, called: bool) -> Marked:
    """Rename whole words outside strings and comments; `called` keeps to names before a bracket, not after a dot."""
    pattern = rf"(?<![\w.])(?<!\.\s){re.escape(old)}(?=\s*\()" if called else rf"(?<!\w){re.escape(old)}(?!\w)"
    return splice(code, ((match.start(), match.end(), new) for match in re.finditer(pattern, blanked(code))))


def _statement(function: Function, name: str) -> str:
    if function.braces:
        return f" int {name} = 0 ;" if function.spaced else f" int {name} = 0;"
    return f"{function.indent}{name} = 0{function.newline}"
