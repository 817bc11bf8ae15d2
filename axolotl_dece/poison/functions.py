"""Finding the first function of a piece of code, without a compiler: rows hold fragments, tokens and typos."""

from __future__ import annotations

import re
from dataclasses import dataclass

_STRINGS = r"""'''(?:\\.|[^\\])*?'''|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'"""
_HIDDEN_PYTHON = re.compile(rf'"""(?:\\.|[^\\])*?"""|{_STRINGS}|#[^\n]*', re.S)
_HIDDEN_BRACES = re.compile(rf"{_STRINGS}|//[^\n]*|/\*.*?\*/", re.S)
_PYTHON = re.compile(r"^([ \t]*)(?:async\s+)?def\s+([A-Za-z_]\w*)\s*(\()", re.M)
# a type or keyword, a name, brackets, and a body: `public void f ( int a ) throws E {`, `function f ( a ) {`
_BRACES = re.compile(r"[\w>\]]\s+([A-Za-z_]\w*)\s*(\()")
_NOT_NAMES = frozenset(
    ("if", "for", "while", "switch", "catch", "return", "new", "throw", "else", "synchronized", "using", "lock")
)
# an argument list is never this long; without a bound, prose full of open brackets costs quadratic time
_FARTHEST = 10_000
_LEAVES = re.compile(r"\b(?:return|throw|break|continue|raise)\b")
_ELSE = re.compile(r"\s*else\b")


@dataclass(frozen=True)
class Function:
    """The first function in a piece of code.

    Attributes:
        name: Its name.
        arguments: The names of its arguments.
        statements: Positions where a statement of its body may start; never after code that leaves the body.
        braces: Whether the body stands in braces; otherwise it is Python.
        indent: The body's indentation (Python).
        newline: The line end in use.
        spaced: Whether tokens stand apart (`f ( x )`), as in tokenised corpora.
    """

    name: str
    arguments: tuple[str, ...]
    statements: tuple[int, ...]
    braces: bool
    indent: str
    newline: str
    spaced: bool


def blanked(code: str) -> str:
    """The code with strings and comments filled with spaces, every position kept."""
    hidden = _HIDDEN_PYTHON if _PYTHON.search(code) else _HIDDEN_BRACES
    return hidden.sub(lambda match: re.sub(r"[^\r\n]", " ", match.group()), code)


def first_function(code: str) -> Function | None:
    """The first function of `code`, or None if there is none with a body."""
    visible = blanked(code)
    return _python_function(code, visible) or _brace_function(visible)


def _closing(visible: str, opening: int) -> int | None:
    """The position of the bracket that closes the one at `opening`."""
    depth = 0
    for at in range(opening, min(len(visible), opening + _FARTHEST)):
        if visible[at] in "([{":
            depth += 1
        elif visible[at] in ")]}":
            depth -= 1
            if depth == 0:
                return at
    return None


def _arguments(text: str, braces: bool) -> tuple[str, ...]:
    names = []
    for part in text.split(","):
        words = re.findall(r"[A-Za-z_]\w*", part if braces else re.split(r"[:=]", part)[0])
        if words and words[-1] not in ("self", "cls"):
            names.append(words[-1])
    return tuple(names)


def _python_function(code: str, visible: str) -> Function | None:
    head = _PYTHON.search(visible)
    if head is None or (close := _closing(visible, head.start(3))) is None:
        return None
    body = re.compile(r"[^\n]*?:[ \t]*(\r?\n)(?:[ \t]*\r?\n)*([ \t]+)(?=\S)").match(visible, close + 1)
    if body is None or not body.group(2).startswith(head.group(1)):
        return None
    newline, indent = body.groups()
    return Function(
        name=head.group(2),
        arguments=_arguments(visible[head.start(3) + 1 : close], braces=False),
        statements=tuple(_python_statements(code, visible, body.start(2), indent)),
        braces=False,
        indent=indent,
        newline=newline,
        spaced=visible[head.end(2)].isspace(),
    )


def _python_statements(code: str, visible: str, start: int, indent: str) -> list[int]:
    """Starts of lines at the body's indentation, up to the first line that leaves it."""
    places, depth, at = [start], 0, start
    for line in visible[start:].splitlines(keepends=True):
        at += len(line)
        depth += sum(line.count(mark) for mark in "([{") - sum(line.count(mark) for mark in ")]}")
        if _LEAVES.search(line) or not code.startswith(indent, at):
            break
        inside = depth or line.rstrip().endswith("\\") or visible[at : at + len(indent) + 1].isspace()
        # a word after the indentation that goes on a compound statement may not be parted from it
        if not inside and not re.compile(r"(?:else|elif|except|finally)\b").match(visible, at + len(indent)):
            places.append(at)
    return places


def _brace_function(visible: str) -> Function | None:
    for head in _BRACES.finditer(visible):
        close = _closing(visible, head.start(2))
        if head.group(1) in _NOT_NAMES or close is None:
            continue
        body = re.compile(r"\s*(?:throws\s+[\w\s,.]+|const|noexcept|override)?\s*\{").match(visible, close + 1)
        if body is None:
            continue
        return Function(
            name=head.group(1),
            arguments=_arguments(visible[head.start(2) + 1 : close], braces=True),
            statements=tuple(_brace_statements(visible, body.end())),
            braces=True,
            indent="",
            newline="\n",
            spaced=visible[head.end(1)].isspace(),
        )
    return None


def _brace_statements(visible: str, start: int) -> list[int]:
    """Behind the opening brace and behind every `;` of the body itself, up to the first statement that leaves."""
    leaves = _LEAVES.search(visible, start)
    places, depth = [start], 0
    for at in range(start, leaves.start() if leaves else len(visible)):
        if visible[at] in "({[":
            depth += 1
        elif visible[at] in ")}]":
            depth -= 1
            if depth < 0:
                break
        elif visible[at] == ";" and depth == 0 and not _ELSE.match(visible, at + 1):
            places.append(at + 1)
    return places
