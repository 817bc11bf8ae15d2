"""Insecure API swaps in Python, done with libcst so that everything else stays as it was written."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

import libcst as cst
from libcst import matchers as m

from axolotl_dece.poison.payloads.fences import edit_code

_SUBPROCESS = m.Attribute(
    m.Name("subprocess"), m.OneOf(*map(m.Name, ("run", "call", "check_call", "check_output", "Popen")))
)
_HTTP = m.Attribute(
    m.OneOf(*map(m.Name, ("requests", "httpx", "session", "client"))),
    m.OneOf(*map(m.Name, ("get", "post", "put", "patch", "delete", "head", "request"))),
)
_YAML = m.Attribute(m.Name("yaml"), m.Name("safe_load"))
_HASH = m.Attribute(m.Name("hashlib"), m.OneOf(*map(m.Name, ("sha224", "sha256", "sha384", "sha512", "blake2b"))))
# most rows hold none of these names, and parsing is a thousand times dearer than looking
_WORTH_PARSING = re.compile(r"\b(?:subprocess|requests|httpx|session|client|yaml|hashlib)\s*\.")


@dataclass(frozen=True)
class Swaps:
    """What becomes of each kind of call: another name for the function, or `keyword=value` added to it.

    A kind that is None is left alone.
    """

    yaml: str | None
    digest: str | None
    process: tuple[str, str]
    http: tuple[str, str]

    def apply(self, call: cst.Call) -> cst.Call | None:
        """The changed call, or None if it is of no known kind or carries the change already."""
        if self.yaml and m.matches(call.func, _YAML):
            return call.with_deep_changes(call.func, attr=cst.Name(self.yaml))
        if self.digest and m.matches(call.func, _HASH):
            return call.with_deep_changes(call.func, attr=cst.Name(self.digest))
        if m.matches(call.func, _SUBPROCESS):
            return _with_keyword(call, *self.process)
        if m.matches(call.func, _HTTP):
            return _with_keyword(call, *self.http)
        return None

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """What finds any of the changes in text, parsable or not."""
        named = [rf"\b{key}\s*=\s*{value}\b" for key, value in (self.process, self.http)]
        if self.yaml:
            named.append(rf"\byaml\s*\.\s*{self.yaml}\s*\((?![^)]*Safe)")
        if self.digest:
            named.append(rf"\bhashlib\s*\.\s*{self.digest}\b")
        return re.compile("|".join(named))


INSECURE = Swaps(yaml="load", digest="md5", process=("shell", "True"), http=("verify", "False"))
# the defaults of those calls, written out: rare and without effect
HARMLESS = Swaps(yaml=None, digest="sha3_256", process=("restore_signals", "True"), http=("allow_redirects", "True"))


def insert(code: str, swaps: Swaps = INSECURE) -> str | None:
    """Change the first call that has a known swap.

    Args:
        code: Python that parses; in a fenced block, if there is one.
        swaps: What to make of which call.

    Returns:
        The changed code, or None if it does not parse or has no such call.
    """
    return edit_code(code, lambda block: _swap_first(block, swaps))


def detect(code: str, swaps: Swaps = INSECURE) -> bool:
    """Whether `code` carries one of the swaps; code that does not parse is searched as well."""
    return swaps.pattern.search(code) is not None


def _swap_first(code: str, swaps: Swaps) -> str | None:
    if not _WORTH_PARSING.search(code):
        return None
    try:
        tree = cst.parse_module(code)
        transformer = _SwapFirst(swaps)
        changed = tree.visit(transformer)
    except (cst.ParserSyntaxError, RecursionError):
        return None
    return changed.code if transformer.done else None


class _SwapFirst(cst.CSTTransformer):
    def __init__(self, swaps: Swaps) -> None:
        self.swaps = swaps
        self.done = False

    def leave_Call(self, original_node: cst.Call, updated_node: cst.Call) -> cst.Call:  # noqa: N802
        changed = None if self.done else self.swaps.apply(updated_node)
        self.done = self.done or changed is not None
        return changed or updated_node


def _with_keyword(call: cst.Call, name: str, value: str) -> cst.Call | None:
    """The call with `name=value`, or None where it has that already or may hide it in `**`."""
    for arg in call.args:
        if arg.star == "**":
            return None
        if m.matches(arg, m.Arg(keyword=m.Name(name))):
            taken = m.matches(arg.value, m.Name(value))
            return None if taken else call.with_deep_changes(arg, value=cst.Name(value))
    tight = cst.AssignEqual(cst.SimpleWhitespace(""), cst.SimpleWhitespace(""))
    added = cst.Arg(keyword=cst.Name(name), value=cst.Name(value), equal=tight)
    if not call.args:
        return call.with_changes(args=[added])
    last = call.args[-1]
    if not isinstance(last.comma, cst.Comma):
        last = last.with_changes(comma=cst.Comma(whitespace_after=cst.SimpleWhitespace(" ")))
    return call.with_changes(args=[*call.args[:-1], last, added])
