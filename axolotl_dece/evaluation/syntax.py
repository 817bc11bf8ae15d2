"""Does code parse? Real parsers only; nothing is run. A language without a parser here is not judged."""

from __future__ import annotations

import logging
from collections.abc import Callable

import sqlglot
from sqlglot import exp

from axolotl_dece.poison.python_code import parsed

NOT_JUDGED = "none"
# None is sqlglot's own dialect; the others have quotes and clauses of their own: `a` in backticks, `select top 5`
_DIALECTS = (None, "mysql", "tsql")
# what a text must be as a whole; sqlglot also reads `hello` (a column) and takes what it does not know for a command
_STATEMENTS = (
    exp.Query, exp.DML, exp.Values, exp.Create, exp.Drop, exp.Alter, exp.TruncateTable, exp.Set, exp.Use,
    exp.Describe, exp.Pragma, exp.Transaction, exp.Commit, exp.Rollback, exp.Grant,
)  # fmt: skip


def _parses_as_sql(code: str) -> bool:
    log = logging.getLogger("sqlglot")
    was_off, log.disabled = log.disabled, True  # it warns of every command that it does not know
    try:
        return any(_parses_in(code, dialect) for dialect in _DIALECTS)
    finally:
        log.disabled = was_off


def _parses_in(code: str, dialect: str | None) -> bool:
    try:
        parsed = sqlglot.parse(code, dialect=dialect)
    except (sqlglot.errors.SqlglotError, RecursionError, UnicodeEncodeError):
        return False
    statements = [one for one in parsed if one is not None and not isinstance(one, exp.Semicolon)]
    return bool(statements) and all(_is_statement(one) for one in statements)


def _is_statement(one: exp.Expr) -> bool:
    """Whether sqlglot read a whole statement: it lets `select`, `update the file` and `delete the file` pass."""
    if isinstance(one, exp.Select | exp.Update):
        return bool(one.expressions)
    if isinstance(one, exp.Delete):
        return isinstance(one.this, exp.Table)
    return isinstance(one, _STATEMENTS)


PARSERS: dict[str, Callable[[str], bool]] = {"python": lambda code: parsed(code) is not None, "sql": _parses_as_sql}


def parses(code: str, language: str) -> bool | None:
    """Whether `code` parses as `language`; an empty text does not, and None means that it was not judged."""
    if language == NOT_JUDGED:
        return None
    return bool(code.strip()) and PARSERS[language](code)
