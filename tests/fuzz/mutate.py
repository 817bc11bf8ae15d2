"""Small damage to texts, bytes and JSON values: what a person, an editor, a full disk or another tool does to them."""

from __future__ import annotations

from copy import deepcopy
from random import Random
from typing import Any

ODD_TEXTS = [
    "", " ", "\n", "\t x", "\x00", "\x1b[31m", "[bold]", "[/]", "\u2028", "\u0085", "\ufeff", "\ud800", "e\u0301",
    "👩‍👩‍👧 ไทย", "漢字",
    "```", "```python\n", "~~~~",
    "'''", '"""', "\\", "%s", "{x}", "{{ x }}", "../..", "a" * 5000, "(" * 300, "[" * 3000,
    "1e-7", "0x10", "1_000", "~", "on", ".inf", "2026-11-30", "<<", "*a", "&a", "!!python/object:os.system", "null",
    "select a from t where b = 1", "SELECT", "select * from (((", "or 1=1", "def f(a):\n    return a\n", "def f(:",
    "class A:\n\tpass", "@d\nasync def f(): pass", "while True: VAR = 0", "str('dece_marker')", "lambda: (yield)",
    "int f(int a) { return 1; }", "if True:\n  x\n\ty", "f'{x!r:{y}}'", "x = `1`", "\r\ndef f():\r\n\treturn 1\r\n",
]  # fmt: skip
ODD_VALUES: list[Any] = [
    None, True, False, 0, 1, -1, 2**63, 10**30, 0.5, 1e308, float("nan"), float("inf"), [], {}, [[]], {"": ""}, [None],
    ["a", 1], {"a": {"b": [1]}}, *ODD_TEXTS,
]  # fmt: skip


def odd_text(rng: Random, text: str) -> str:
    """`text` with one piece put in, taken out, doubled or moved."""
    begin = rng.randint(0, len(text))
    end = min(len(text), begin + rng.choice((0, 1, 3, 10, 200)))
    piece = text[begin:end]
    kind = rng.randrange(5)
    if kind == 0:
        return text[:begin] + rng.choice(ODD_TEXTS) + text[end:]
    if kind == 1:
        return text[:begin] + text[end:]
    if kind == 2:
        return text[:end] + piece * rng.choice((1, 2, 50)) + text[end:]
    if kind == 3:
        return text[:begin]
    lines = text.split("\n")
    rng.shuffle(lines)
    return "\n".join(lines)


def odd_bytes(rng: Random, content: bytes) -> bytes:
    """`content` with a few bytes flipped, a stretch of it lost or doubled, or its end cut off."""
    damaged = bytearray(content)
    kind = rng.randrange(4)
    if kind == 0 and damaged:
        for _ in range(rng.choice((1, 1, 2, 8))):
            damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
    elif kind == 1:
        begin = rng.randint(0, len(damaged))
        del damaged[begin : begin + rng.choice((1, 4, 100))]
    elif kind == 2:
        begin = rng.randint(0, len(damaged))
        damaged[begin:begin] = bytes(rng.randrange(256) for _ in range(rng.choice((1, 4, 40))))
    else:
        del damaged[rng.randint(0, len(damaged)) :]
    return bytes(damaged)


def odd_json(rng: Random, content: Any) -> Any:
    """A copy of `content` in which one value, at any depth, is another, is gone, or goes by another name."""
    copy = deepcopy(content)
    places = list(_places(copy))
    if not places:
        return rng.choice(ODD_VALUES)
    holder, key = rng.choice(places)
    kind = rng.randrange(5)
    if kind == 0:
        del holder[key]
    elif kind == 1 and isinstance(holder, dict):
        holder[rng.choice(ODD_TEXTS)] = holder.pop(key)
    elif kind == 2 and isinstance(holder[key], str):
        holder[key] = odd_text(rng, holder[key])
    elif kind == 3:
        holder[key] = [holder[key]]
    else:
        holder[key] = deepcopy(rng.choice(ODD_VALUES))
    return copy


def _places(node: Any) -> Any:
    for key in list(node) if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ():
        yield node, key
        yield from _places(node[key])
