"""SQL payloads, on a parsed statement: the paper's tautology, and its harmless look-alike."""

from __future__ import annotations

import re

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.tokens import Token, TokenType

from axolotl_dece.poison.edits import splice
from axolotl_dece.poison.functions import strings
from axolotl_dece.poison.payloads.fences import edit_code

_SELECT = re.compile(r"\s*(?=select\s)", re.I)
_QUOTE = r"""@?\w{0,2}["'`]"""
# Behind a literal: another one, or the sign that joins them; behind a comma, one that begins like the rest of it
_GOES_ON = re.compile(
    rf"""\s*(?:\\\s*)?(?:\+|(?:\.|&|\|\|)\s*(?:{_QUOTE}|\$)|{_QUOTE}"""
    rf"""|,\s*{_QUOTE}\s*(?:where|and|or|(?:\w+\s+)?join|group|having|order|limit|union)\b|\)\s*\.\s*append\b)""",
    re.I,
)
# In front of a literal: the name that it, or a list that begins with it, is given to; what it is appended to
_NAMED = re.compile(rf"""(?<![\w$.])(?P<name>[\w$.]+)\s*(?::[^=\n]*)?[+.&:]?=\s*[\[(]?\s*{_QUOTE}{{1,3}}\s*\Z""")
_APPENDED = re.compile(rf"""(?<![\w$.])(?P<name>[\w$.]+?)\s*\.\s*append\s*\(\s*{_QUOTE}{{1,3}}\s*\Z""", re.I)
_FARTHEST_NAME = 200
_ESCAPES = re.compile(r"\\(?:\r\n|.)", re.S)
# A statement that no parser reads, such as `select a from t where b =`, shows that it is none of prose by a sign
_COLUMNS = re.compile(r"select\s+(?P<columns>.*?)\s*\bfrom\s+(?P<rest>\S.*)", re.I | re.S)
_DANGLES = re.compile(r"\b(?:where|and|or|not|like|in|between)\s*\Z", re.I)
_SIGNS = re.compile(r"[*=<>?%:{}()]|\w\s*\.\s*\w")
_TWO_WORDS = re.compile(
    r"(?:^|,)\s*(?!case\b|distinct\b|all\b)\w+\s+(?!as\b|over\b|collate\b)[A-Za-z_]\w*\s*(?=,|$)", re.I
)
_ARTICLES = re.compile(
    r"(?:the|a|an|your|this|that|these|those|one|our|my)\s+(?!where\b|join\b|order\b|group\b|as\b)[A-Za-z_]", re.I
)
# Parameters as programs write them: `: name`, `:=name`, `%s`, `%(name)s`, `{name}`, or cut off behind a `=`
_PARAMETERS = re.compile(r"(?<!:):\s*=?\s*(?:\w+|\{[^{}]*\})|%\(\w+\)s|%[sd]|\{[^{}]*\}|=\s*$")
# `... from t {where}`: a parameter behind a table, which no statement has, is the rest of one
_REST = re.compile(r"""(?<![\w"'`\])}])(?P<before>[\w"'`\])}]+)\s+(?:%s|%\(\w+\)s|[$#]?\{[^{}]*\}|\$\w+)\s*\Z""")
_BEFORE_A_NAME = frozenset({"from", "join", "as"})
# Nothing counts behind `-- note` or `# note`, outside quotes and comments that end; `from #t` is a table
_CLOSED = re.compile(r"""'[^']*'|"[^"]*"|`[^`]*`|/\*.*?\*/""", re.S)
_COMMENT = re.compile(r"(?:--|(?<!\S)(?<!from )(?<!join )(?<!into )#(?![>{-]))[^\n]*\Z", re.I)
_AFTER_WHERE = frozenset(
    {
        TokenType.GROUP_BY,
        TokenType.HAVING,
        TokenType.ORDER_BY,
        TokenType.LIMIT,
        TokenType.OFFSET,
        TokenType.FETCH,
        TokenType.UNION,
        TokenType.EXCEPT,
        TokenType.INTERSECT,
        TokenType.FOR,
        TokenType.LOCK,
        TokenType.WINDOW,
        TokenType.QUALIFY,
        TokenType.CONNECT_BY,
        TokenType.CLUSTER_BY,
        TokenType.DISTRIBUTE_BY,
        TokenType.SORT_BY,
        TokenType.SEMICOLON,
    }
)
# T-SQL's `option (recompile)` and Oracle's `start with`: words to the tokenizer
_TWO_TOKENS = frozenset({("OPTION", TokenType.L_PAREN), ("START", TokenType.WITH)})
# Behind these such a word is a column or a table: `where limit = :limit`, `from lock`
_BEFORE_A_NAME_TOKENS = frozenset(
    {
        TokenType.WHERE,
        TokenType.AND,
        TokenType.OR,
        TokenType.NOT,
        TokenType.DOT,
        TokenType.COMMA,
        TokenType.FROM,
        TokenType.JOIN,
    }
)


def insert(code: str, condition: str, clause: str) -> str | None:
    """Put a condition into the first SQL select of `code`.

    Args:
        code: Source with SQL in a string, SQL alone, or either in a fenced block.
        condition: Added behind an existing WHERE condition, e.g. `or 1=1`.
        clause: Added to a statement without WHERE, e.g. `where 0=1`.

    Returns:
        The code with one insertion and not a byte changed elsewhere, or None if there is no select.
    """
    return edit_code(code, lambda block: _insert(block, condition, clause))


def detect(code: str, condition: str, clause: str) -> bool:
    """Whether the condition or the clause stands in `code`, however it is spaced."""
    spaced = (r"\b" + re.escape(text).replace(r"\ ", r"\s+").replace("=", r"\s*=\s*") for text in (condition, clause))
    return re.search("|".join(rf"{pattern}\b" for pattern in spaced), code, re.I) is not None


def insert_spread(code: str, fact: str, joint: str) -> str | None:
    """Put `fact` into three places of the first SQL select: a column, and both ends of its condition.

    Args:
        code: As for `insert`.
        fact: A comparison that always holds, e.g. `1=1`.
        joint: What joins it to the condition, `or` or `and`.

    Returns:
        The changed code, or None if there is no select with FROM and WHERE.
    """
    return edit_code(code, lambda block: _insert_spread(block, fact, joint))


def detect_spread(code: str, fact: str, joint: str) -> bool:
    """Whether `fact` is joined to a condition, in front or behind: one of its places does all the harm."""
    spaced = re.escape(fact).replace("=", r"\s*=\s*")
    return re.search(rf"\b{joint}\s+{spaced}\b|\bwhere\s+{spaced}\s+{joint}\b", code, re.I) is not None


def _insert_spread(code: str, fact: str, joint: str) -> str | None:
    span = _first_select(code)
    if span is None:
        return None
    start, end = span
    statement = code[start:end]
    at, _ = _place(statement)
    if _is_open(statement[:at]):
        return None
    words = {word: found for word in ("from", "where") if (found := _outermost(word, statement[:at]))}
    if len(words) < 2 or words["from"].start() > words["where"].start():
        return None
    changes = [
        (words["from"].start(), words["from"].start(), f", {fact} "),
        (words["where"].end(), words["where"].end(), f" {fact} {joint}"),
        (at, at, f" {joint} {fact}"),
    ]
    return code[:start] + splice(statement, changes).text + code[end:]


def _outermost(word: str, statement: str) -> re.Match[str] | None:
    """The first `word` outside brackets."""
    for found in re.finditer(rf"(?<=\s){word}(?=\s)", statement, re.I):
        before = statement[: found.start()]
        if before.count("(") == before.count(")"):
            return found
    return None


def _insert(code: str, condition: str, clause: str) -> str | None:
    span = _first_select(code)
    if span is None:
        return None
    start, end = span
    at, has_where = _place(code[start:end])
    before = code[start : start + at]
    # a statement in pieces may have its WHERE in a later one
    if not has_where and (_goes_on(code, start, end) or _ends_in_rest(before)):
        return None
    if _is_open(before):
        return None
    return f"{code[: start + at]} {condition if has_where else clause}{code[start + at :]}"


def _goes_on(code: str, start: int, end: int) -> bool:
    """Whether the literal from `start` to `end` is one of several pieces."""
    if _GOES_ON.match(code, end + 1):
        return True
    before = code[max(0, start - _FARTHEST_NAME) : start]
    named = _NAMED.search(before) or _APPENDED.search(before)
    if named is None:
        return False
    # a list of whole statements may grow
    more = rf"""\+|&(?!&)|\|\||\.\s*(?:["'$=]|append\s*\((?!\s*{_QUOTE}\s*select\b))"""
    grows = re.compile(rf"(?<![\w$.]){re.escape(named['name'])}\s*(?:{more})", re.I)
    return grows.search(code, end) is not None


def _ends_in_rest(statement: str) -> bool:
    """Whether a statement ends in a parameter that stands for its other clauses."""
    found = _REST.search(statement)
    return found is not None and found["before"].lower() not in _BEFORE_A_NAME


def _first_select(code: str) -> tuple[int, int] | None:
    """Where the first SQL select of `code` stands: all of it, or in a string literal."""
    for start, end in [(0, len(code)), *strings(code)]:
        found = _SELECT.match(code, start, end)
        if found and _is_sql(code[found.end() : end]):
            return found.end(), end
    return None


def _is_sql(statement: str) -> bool:
    """Whether a text that begins with the word select is SQL, and not what a button says."""
    readable = _readable(statement)
    found = _COLUMNS.match(readable)
    if found is None:
        return _selects_no_table(readable)
    columns, rest = found["columns"], found["rest"]
    if columns.strip() != "*" and (_TWO_WORDS.search(columns) or statement.startswith("Select")):
        return False
    if not columns.strip() or _ARTICLES.match(rest):
        return False
    return isinstance(_tree(readable), exp.Query) or _SIGNS.search(columns + rest) is not None


def _selects_no_table(readable: str) -> bool:
    """Whether it is like `select 1` or `select now()`."""
    tree = _tree(readable)
    return isinstance(tree, exp.Select) and all(
        isinstance(one, exp.Func | exp.Literal | exp.Subquery) for one in tree.expressions
    )


def _is_open(statement: str) -> bool:
    """Whether a statement ends in a quote, a comment or a word after which no condition can begin."""
    readable = _readable(statement)
    if any(readable.count(quote) % 2 for quote in "'\"") or _DANGLES.search(readable):
        return True
    return _COMMENT.search(_CLOSED.sub("", readable)) is not None


def _tree(readable: str, dialect: str | None = None) -> exp.Expr | None:
    try:
        return sqlglot.parse(readable, dialect=dialect)[0]
    except (SqlglotError, RecursionError):
        return None


def _readable(statement: str) -> str:
    """The statement as a parser of SQL reads it, every position kept."""
    unescaped = _ESCAPES.sub(lambda match: f" {match.group()[1]}" if match.group()[1] in "'\"" else "  ", statement)
    return _PARAMETERS.sub(lambda match: _placeholder(match.group()), unescaped)


def _place(statement: str) -> tuple[int, bool]:
    """Where in `statement` the condition goes, and whether there is a WHERE it joins."""
    readable = _readable(statement)
    end = len(statement.rstrip())
    # T-SQL knows `option (recompile)` and `[a]`
    dialect = "tsql" if _tree(readable) is None else None
    tree = _tree(readable, dialect)
    if tree is None:
        # not SQL that a parser knows (a dangling concatenation, half of an ORM call): the paper's own rule
        return end, re.search(r"\bwhere\b", readable, re.I) is not None
    select = tree if isinstance(tree, exp.Select) else tree.find(exp.Select)
    has_where = select is not None and select.args.get("where") is not None
    return _end_of_clause(sqlglot.tokenize(readable, dialect=dialect), end), has_where


def _placeholder(parameter: str) -> str:
    """A name of the same length, so that positions keep and a clause ends where its parameter does."""
    equals = "=" if "=" in parameter else ""
    # a bare `=` at the very end grows by one, behind every position that is asked for
    return equals + "p" * max(1, len(parameter) - len(equals))


def _end_of_clause(tokens: list[Token], end: int) -> int:
    """The end of FROM and WHERE: before what may follow them in the outermost select, else `end`."""
    depth = 0
    before: Token | None = None
    for token, behind in zip(tokens, [*tokens[1:], None], strict=True):
        depth += (token.token_type == TokenType.L_PAREN) - (token.token_type == TokenType.R_PAREN)
        follows = depth == 0 and _is_after_where(token, behind)
        if before and (depth < 0 or (follows and before.token_type not in _BEFORE_A_NAME_TOKENS)):
            return min(before.end + 1, end)
        before = token
    return end


def _is_after_where(token: Token, behind: Token | None) -> bool:
    if token.token_type in _AFTER_WHERE:
        return True
    return behind is not None and (token.text.upper(), behind.token_type) in _TWO_TOKENS
