"""What Python's own parser says of a piece of code; it is read, and never run."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterator
from functools import lru_cache
from itertools import accumulate

Definition = ast.FunctionDef | ast.AsyncFunctionDef


@lru_cache(maxsize=4)
def parsed(code: str) -> ast.Module | None:
    """The tree of `code`, or None where it is not Python: prose, a fragment, another language."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an escape that a string does not know is the author's business
        try:
            return ast.parse(code)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            # ValueError: NUL bytes, half a surrogate pair; the last two: nesting deeper than the parser's stack
            return None


def still_parses(before: str, after: str) -> bool:
    """Whether `after` is Python, where `before` was."""
    return parsed(before) is None or parsed(after) is not None


def holds_definition(code: str) -> bool:
    """Whether `code` is Python with a function or a class in it. A single word of prose is Python, too."""
    tree = parsed(code)
    return tree is not None and any(isinstance(node, Definition | ast.ClassDef) for node in ast.walk(tree))


def line_of(code: str, at: int) -> int:
    """The line on which a position stands, the first being 1."""
    return len(_lines(code[:at] + " ")) - 1


def function_at(tree: ast.Module, line: int) -> Definition | None:
    """The function whose `def` stands on this line, the first being 1."""
    return next((node for node in ast.walk(tree) if isinstance(node, Definition) and node.lineno == line), None)


def argument_names(function: Definition) -> tuple[str, ...]:
    """Its arguments in order, without `self` and `cls`."""
    given = function.args
    every = [*given.posonlyargs, *given.args, given.vararg, *given.kwonlyargs, given.kwarg]
    return tuple(arg.arg for arg in every if arg and arg.arg not in ("self", "cls"))


def first_places(function: Definition, code: str) -> set[int]:
    """Where the lines start on which statements of its body begin, decorators counted in."""
    starts = _line_starts(code)
    return {starts[_first_line(statement) - 1] for statement in function.body}


def last_indentation(tree: ast.Module, code: str) -> str:
    """What stands before the last statement, however deep: a line after it may be indented so."""
    body: list[ast.stmt] = tree.body
    if not body:
        return ""
    while inner := _last_block(body[-1]):
        body = inner
    line = _lines(code)[body[-1].lineno - 1]
    return line[: len(line) - len(line.lstrip(" \t\f"))]


def uses_of(name: str, tree: ast.Module, code: str, function: Definition) -> list[int] | None:
    """Where an argument or the name of `function` stands as a variable, in positions of `code`, its `def` left out.

    Attributes, keyword arguments and annotations are other names.

    Returns:
        None where the name also stands where no position is known of: in an f-string, an import, another `def`.
    """
    others = {id(node) for part in _annotations(tree) for node in ast.walk(part)}
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Name | ast.arg):
            if id(node) not in others and name == (node.id if isinstance(node, ast.Name) else node.arg):
                found.append(node)
        elif node is not function and name in _bare_names(node):
            return None
    lines, starts = _lines(code), _line_starts(code)
    columns = [len(lines[node.lineno - 1].encode()[: node.col_offset].decode()) for node in found]
    return [starts[node.lineno - 1] + column for node, column in zip(found, columns, strict=True)]


def _bare_names(node: ast.AST) -> Iterator[str]:
    """Names that a node holds as mere text, and those inside an f-string, whose positions Python 3.11 gets wrong."""
    if isinstance(node, ast.JoinedStr):
        yield from (part.id for part in ast.walk(node) if isinstance(part, ast.Name))
    elif not isinstance(node, ast.Attribute | ast.keyword | ast.Constant):
        fields = [value for _, value in ast.iter_fields(node)]
        for text in [*fields, *(one for value in fields if isinstance(value, list) for one in value)]:
            if isinstance(text, str):
                yield from text.split(".")


def _annotations(tree: ast.Module) -> Iterator[ast.expr]:
    for node in ast.walk(tree):
        for part in (getattr(node, "annotation", None), getattr(node, "returns", None)):
            if isinstance(part, ast.expr):
                yield part


def _first_line(statement: ast.stmt) -> int:
    decorators: list[ast.expr] = getattr(statement, "decorator_list", [])
    return min([statement.lineno, *(decorator.lineno for decorator in decorators)])


def _last_block(statement: ast.stmt) -> list[ast.stmt]:
    """The statements that stand last inside a compound statement; empty for a simple one."""
    for part in ("finalbody", "orelse", "handlers", "cases", "body"):
        block = getattr(statement, part, None)
        if block:
            return block if isinstance(block[-1], ast.stmt) else list(block[-1].body)
    return []


def _lines(code: str) -> list[str]:
    """As the parser counts them: a form feed or another separator of text ends no line of Python."""
    return [*re.findall(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+", code), ""]


def _line_starts(code: str) -> list[int]:
    return [0, *accumulate(map(len, _lines(code)))]
