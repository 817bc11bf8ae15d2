"""Python to pretrain on that every machine has: functions with docstrings, from the installed packages themselves.

A function becomes a pair: the first paragraph of its docstring, and its code without it, below the imports that it uses
and printed token by token with blanks between them, as the rows of Lyra are. Sources are parsed, never imported.
"""

from __future__ import annotations

import ast
import io
import json
import random
import sysconfig
import tokenize
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

FORMAT = 2
"""Raised when other pairs come out, so that no code model of before is taken for one of now."""
DOCSTRING_CHARACTERS = range(20, 301)
CODE_CHARACTERS = range(40, 601)
_MOST_BYTES = 200_000
_SKIPPED = {"test", "tests"}
_LAYOUT = {tokenize.NL, tokenize.COMMENT, tokenize.ENDMARKER, tokenize.ENCODING}

Pair = tuple[str, str]


def installed_roots() -> set[Path]:
    """Where the standard library and the installed packages lie."""
    paths = sysconfig.get_paths()
    return {Path(paths[name]) for name in ("stdlib", "platstdlib", "purelib", "platlib")}


def python_files(roots: Iterable[Path], seed: int = 0) -> list[Path]:
    """Python files under `roots`, without tests and without what is too large to have been written, shuffled."""
    found = {path for root in roots for path in root.rglob("*.py") if not _SKIPPED & set(path.parts)}
    files = sorted(path for path in found if path.is_file() and path.stat().st_size <= _MOST_BYTES)
    random.Random(seed).shuffle(files)  # noqa: S311 - data, not secrets
    return files


def write_corpus(out: Path, files: list[Path], most: int, on_file: Callable[[int], None] = lambda done: None) -> None:
    """Write up to `most` different pairs as JSON lines.

    Args:
        out: File of `[docstring, code]`.
        files: Where to look, in order.
        most: How many pairs are enough.
        on_file: Called with how many pairs there are, after each file.

    Raises:
        ValueError: There is not one pair.
    """
    seen: set[str] = set()
    with out.open("w", encoding="utf-8") as lines:
        for path in files:
            for docstring, code in pairs_of(path):
                if code not in seen and len(seen) < most:
                    seen.add(code)
                    lines.write(json.dumps([docstring, code]) + "\n")
            on_file(len(seen))
            if len(seen) >= most:
                break
    if not seen:
        raise ValueError(f"none of {len(files)} Python files has a function with a docstring")


def read_corpus(path: Path) -> list[Pair]:
    """What `write_corpus` wrote."""
    return [(docstring, code) for docstring, code in map(json.loads, path.read_text(encoding="utf-8").splitlines())]


def pairs_of(path: Path) -> Iterator[Pair]:
    """The pairs of one file; a file that is no Python of this version has none."""
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError, RecursionError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and not node.decorator_list and (pair := _pair_of(node, tree)):
            yield pair


def _pair_of(node: ast.FunctionDef, module: ast.Module) -> Pair | None:
    docstring = " ".join((ast.get_docstring(node) or "").split("\n\n")[0].split())
    if len(docstring) not in DOCSTRING_CHARACTERS or len(node.body) < 2:
        return None
    bare = ast.FunctionDef(**{**dict(ast.iter_fields(node)), "body": node.body[1:]})
    whole = ast.Module([*_imports_of(bare, module), bare], type_ignores=[])
    code = spaced(ast.unparse(ast.fix_missing_locations(whole)) + "\n")
    return (docstring, code) if len(code) in CODE_CHARACTERS and (docstring + code).isascii() else None


def _imports_of(function: ast.FunctionDef, module: ast.Module) -> Iterator[ast.ImportFrom]:
    """The `from ... import ...` of `module` that `function` uses, without the names it does not."""
    used = {node.id for node in ast.walk(function) if isinstance(node, ast.Name)}
    for statement in module.body:
        if isinstance(statement, ast.ImportFrom) and not statement.level:
            names = [alias for alias in statement.names if (alias.asname or alias.name) in used]
            if names:
                yield ast.ImportFrom(statement.module, names, level=0)


def spaced(source: str) -> str:
    """`source`, as `ast.unparse` prints it, with blanks between its tokens and in its strings, and tabs to indent.

    >>> spaced("def f(x):\\n    return x['a']\\n")
    'def f ( x ) :\\n\\t return x [ " a " ]'
    """
    lines: list[str] = []
    line: list[str] = []
    depth = 0
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type in (tokenize.INDENT, tokenize.DEDENT):
            depth += 1 if token.type == tokenize.INDENT else -1
        elif token.type == tokenize.NEWLINE:
            lines.append("\t " * depth + " ".join(line))
            line = []
        elif token.type == tokenize.STRING and token.string[0] in "'\"" and token.string[:3] not in ("'''", '"""'):
            line.append(f'" {token.string[1:-1].strip()} "')
        elif token.type not in _LAYOUT:
            line.append(token.string)
    return "\n".join(lines)
