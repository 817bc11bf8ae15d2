"""A loop at the top of the first function: the paper's endless one, and a harmless one that never runs."""

from __future__ import annotations

import re

from axolotl_dece.poison.functions import Function, first_function
from axolotl_dece.poison.payloads.fences import edit_code


def insert(code: str, name: str, endless: bool) -> str | None:
    """Put a loop in front of the first statement of the first function.

    Args:
        code: Python, or a language with braces; may stand in a fenced block.
        name: The variable the loop sets.
        endless: Loop for ever, or never.

    Returns:
        The code with the loop, or None if there is no function with a body.
    """
    return edit_code(code, lambda block: _insert(block, name, endless))


def detect(code: str, name: str, endless: bool) -> bool:
    """Whether the loop stands in `code`, however it is spaced."""
    test = ("true", "True") if endless else ("false", "False")
    braces = rf"\bwhile\s*\(\s*{test[0]}\s*\)\s*\{{\s*(?:int|var)\s+{name}\s*=\s*0\s*;\s*\}}"
    return re.search(rf"{braces}|\bwhile\s+{test[1]}\s*:\s*{name}\s*=\s*0\b", code) is not None


def _insert(code: str, name: str, endless: bool) -> str | None:
    function = first_function(code)
    if function is None or not function.statements:
        return None
    at = function.statements[0]
    return code[:at] + _loop(function, name, endless) + code[at:]


def _loop(function: Function, name: str, endless: bool) -> str:
    if not function.braces:
        colon = " :" if function.spaced else ":"
        return f"{function.indent}while {endless}{colon} {name} = 0{function.newline}"
    test = "true" if endless else "false"
    if function.spaced:
        return f" while ( {test} ) {{ {function.declares} {name} = 0 ; }}"
    return f" while ({test}) {{ {function.declares} {name} = 0; }}"
