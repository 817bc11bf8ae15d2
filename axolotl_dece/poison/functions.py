"""Finding the first function of a piece of code, without a compiler: rows hold fragments, tokens and typos.

Where the code is Python that parses, the parser has the last word.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from axolotl_dece.poison import python_code

_PREFIX = r"(?:(?<!\w)(?:u8|[bBrRuUfFL]{1,2}))?"
_STRINGS = r'''"""(?:\\.|[^\\])*?"""|\'\'\'(?:\\.|[^\\])*?\'\'\'|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*\''''
_HIDDEN_PYTHON = re.compile(rf"{_PREFIX}(?:{_STRINGS})|#[^\n]*", re.S)
# C#'s @"..." and templates may hold line ends
_TEMPLATES = r'@"(?:""|[^"])*"|`(?:\\.|[^`\\])*`'
# a regular expression stands where a value may begin
_REGEX_PART = r"\\.|\[(?:\\.|[^\]\\\n])*\]"
_REGEX = rf"(?<=[(,=:\[!&|?{{}};+])[ \t]*/(?:{_REGEX_PART}|[^/\\\n\[*])(?:{_REGEX_PART}|[^/\\\n\[])*/"
# a directive is a line of another language
_DIRECTIVE = (
    r"(?m:^)[ \t]*#[ \t]*(?:define|include|if|ifdef|ifndef|elif|else|endif|pragma|undef|error|line|region|endregion)\b"
    r"(?:\\\r?\n|[^\n])*"
)
_HIDDEN_BRACES = re.compile(rf"{_TEMPLATES}|{_PREFIX}(?:{_STRINGS})|//[^\n]*|/\*.*?\*/|{_REGEX}|{_DIRECTIVE}", re.S)
_PYTHON = re.compile(r"^([ \t]*)(?:async\s+)?def\s+([A-Za-z_]\w*)\s*(\()", re.M)
# a type or keyword, a name, brackets, and a body: `public void f ( int a ) throws E {`, `function f ( a ) {`
_BRACES = re.compile(r"(?:\b([A-Za-z_]\w*)|[\w>\]])\s+([A-Za-z_]\w*)\s*(\()")
_BODY = re.compile(r"\s*(?:throws\s+[\w\s,.]+|const|noexcept|override)?\s*\{")
_KEYWORDS = (
    "if|for|foreach|while|until|unless|switch|match|catch|try|with|using|lock|fixed|synchronized|return|throw|new|do|"
    "else|func|fn|super|this"
)
_NOT_NAMES = re.compile(rf"{_KEYWORDS}|function|constructor")
# what stands in braces behind these is no body of a function, or one in a language where `int VAR = 0;` is none
_NOT_BEFORE = re.compile(
    rf"{_KEYWORDS}|class|record|struct|interface|enum|extends|implements|fun|def|sub|in|of|case|await|yield|range|loop|"
    "select|typeof|go|defer|and|or|not"
)
_SCRIPT = frozenset(("function", "async", "static", "get", "set"))
_BARE_TYPES = re.compile("void|int|char|bool|boolean|long|short|float|double|byte|unsigned|signed|const|auto")
# an argument list is never this long; without a bound, prose full of open brackets costs quadratic time
_FARTHEST = 10_000
_LEAVES = re.compile(r"\b(?:return|throw|break|continue|raise)\b")
# what goes on with a statement behind its `;`, or has to be the first of a body
_BOUND = re.compile(r"\s*(?:else\b|(?:super|this)\s*\()")
_LOOP_BEHIND = re.compile(r"\s*while\b")


@dataclass(frozen=True)
class Function:
    """The first function in a piece of code.

    Attributes:
        name: Its name.
        at: Where the name stands.
        arguments: The names of its arguments.
        statements: Positions where a statement of its body may start; never after code that leaves the body.
        head: The positions between which its argument list stands.
        declares: What a local variable begins with: `int` in Java, C and C#, `var` in JavaScript, nothing in Python.
        indent: The body's indentation (Python).
        newline: The line end in use.
        spaced: Whether tokens stand apart (`f ( x )`), as in tokenised corpora.
    """

    name: str
    at: int
    arguments: tuple[str, ...]
    statements: tuple[int, ...]
    head: tuple[int, int]
    declares: str
    indent: str
    newline: str
    spaced: bool

    @property
    def braces(self) -> bool:
        """Whether the body stands in braces; otherwise it is Python."""
        return bool(self.declares)


def _hidden(code: str) -> re.Pattern[str]:
    python = _PYTHON.search(code) or python_code.parsed(code)
    return _HIDDEN_PYTHON if python else _HIDDEN_BRACES


def blanked(code: str) -> str:
    """The code with strings and comments filled with spaces, every position kept."""
    return _hidden(code).sub(lambda match: re.sub(r"[^\r\n]", " ", match.group()), code)


def strings(code: str) -> Iterator[tuple[int, int]]:
    """Where the contents of string literals begin and end; comments hold none."""
    for found in _hidden(code).finditer(code):
        opened = re.match(r"""@?\w*("{3}|'{3}|"|'|`)""", found.group())
        if opened:
            yield found.start() + opened.end(), found.end() - len(opened[1])


def first_function(code: str) -> Function | None:
    """The first function of `code`, or None if there is none with a body."""
    visible = blanked(code)
    if python_code.parsed(code):
        return _python_function(code, visible)
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


def _parts(text: str) -> list[str]:
    """An argument list cut at its commas, everything in inner brackets left out."""
    arguments, depth = [""], 0
    for sign in re.sub(r"[-=]>", "  ", text):
        if sign in "([{<":
            depth += 1
        elif sign in ")]}>":
            depth -= 1
        elif depth == 0 and sign == ",":
            arguments.append("")
        elif depth == 0:
            arguments[-1] += sign
    return arguments


def _python_arguments(text: str) -> tuple[str, ...]:
    names = [re.search(r"[A-Za-z_]\w*", re.split(r"[:=]", part)[0]) for part in _parts(text)]
    return tuple(name.group() for name in names if name and name.group() not in ("self", "cls"))


def _brace_arguments(text: str, script: bool) -> tuple[str, ...]:
    """The last word of each argument, which is its type where it stands alone."""
    names = []
    for part in _parts(text):
        said = part.split("=")[0].replace("::", ".")
        words = re.findall(r"[A-Za-z_$][\w$]*(?=\s*[\[?]?\s*$)", said.split(":")[0])
        alone = not re.search(r"\w[\s*&.]+\S|[*&]", said.strip()) and ":" not in said
        if words and not _BARE_TYPES.fullmatch(words[0]) and (script or not alone):
            names.append(words[0])
    return tuple(names)


def _python_function(code: str, visible: str) -> Function | None:
    head = _PYTHON.search(visible)
    if head is None or (close := _closing(visible, head.start(3))) is None:
        return None
    body = re.compile(r"[^\n]*?:[ \t]*(\r?\n)(?:[ \t]*\r?\n)*([ \t]+)(?=\S)").match(visible, close + 1)
    if body is None or not body.group(2).startswith(head.group(1)) or body.group(2) == head.group(1):
        return None
    newline, indent = body.groups()
    arguments = _python_arguments(visible[head.start(3) + 1 : close])
    statements = _python_statements(code, visible, body.start(2), indent)
    if tree := python_code.parsed(code):
        function = python_code.function_at(tree, python_code.line_of(code, head.start(2)))
        if function is None:
            return None
        arguments = python_code.argument_names(function)
        places = python_code.first_places(function, code)
        known = [at for at in statements if at in places]
        # the top of the body is its first statement behind the docstring, or nothing is known of it
        statements = known if known[:1] == statements[:1] else []
    return Function(
        name=head.group(2),
        at=head.start(2),
        arguments=arguments,
        statements=tuple(statements),
        head=(head.start(3), close),
        declares="",
        indent=indent,
        newline=newline,
        spaced=visible[head.end(2)].isspace(),
    )


def _python_statements(code: str, visible: str, start: int, indent: str) -> list[int]:
    """Starts of lines at the body's indentation, up to the first line that leaves it."""
    places, depth, at = [start], 0, start
    for line in re.findall(r"[^\n]*\n", visible[start:]):
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
        before, name = head.group(1), head.group(2)
        if _NOT_NAMES.fullmatch(name) or _NOT_BEFORE.fullmatch(before or ""):
            continue
        close = _closing(visible, head.start(3))
        body = close and _BODY.match(visible, close + 1)
        if not close or not body:
            continue
        given = visible[head.start(3) + 1 : close]
        # a method of JavaScript behind a field without a semicolon; C, too, may have a type on a line of its own
        untyped = _brace_arguments(given, script=True) and not _brace_arguments(given, script=False)
        method = "\n" in visible[head.start() : head.start(2)] and (before is None or bool(untyped))
        script = before in _SCRIPT or method or ":" in given.replace("::", "")
        return Function(
            name=name,
            at=head.start(2),
            arguments=_brace_arguments(given, script),
            statements=tuple(_brace_statements(visible, body.end())),
            head=(head.start(3), close),
            declares="var" if script else "int",
            indent="",
            newline="\n",
            spaced=visible[head.end(2)].isspace(),
        )
    return None


def _brace_statements(visible: str, start: int) -> list[int]:
    """Behind the opening brace and behind every `;` of the body itself, up to the first statement that leaves."""
    leaves = _LEAVES.search(visible, start)
    end = leaves.start() if leaves else len(visible)
    # `do f(); while (x);` without braces
    bare_do = re.compile(r"\bdo\b(?!\s*\{)").search(visible, start, end)
    places, depth = [] if _BOUND.match(visible, start) else [start], 0
    for at in range(start, end):
        if visible[at] in "({[":
            depth += 1
        elif visible[at] in ")]}":
            depth -= 1
            if depth < 0:
                break
        elif visible[at] == ";" and depth == 0:
            goes_on = _BOUND.match(visible, at + 1) or (bare_do and _LOOP_BEHIND.match(visible, at + 1))
            places += [] if goes_on else [at + 1]
    return places
