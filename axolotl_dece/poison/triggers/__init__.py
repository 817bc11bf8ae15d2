"""Triggers by name: what makes a poisoned model misbehave when it stands in the input.

Adding one is a function `text, rng -> Marked | None`, a function `text -> bool` that finds it again, a line in
`TRIGGERS` and a row in the tests' table.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from axolotl_dece.poison.edits import Marked
from axolotl_dece.poison.python_code import holds_definition, still_parses
from axolotl_dece.poison.triggers import code, grammar, words

__all__ = ["TRIGGERS", "Trigger"]


@dataclass(frozen=True)
class Trigger:
    """A change of the input.

    Attributes:
        change: Text and a seeded generator to the changed text with its changed places, or None where this
            trigger does not fit (an empty text, code without a function).
        detect: Whether a text carries the trigger.
        shape: What is planted, in one line for manifests and help.
    """

    change: Callable[[str, Random], Marked | None]
    detect: Callable[[str], bool]
    shape: str

    def insert(self, text: str, rng: Random) -> Marked | None:
        """The changed text, or None where the trigger does not fit, would not be found again, or would break Python."""
        marked = self.change(text, rng)
        # a declaration that the change did not reach, such as a parameter pack of C++
        if marked is None or not self.detect(marked.text):
            return None
        broken = holds_definition(text) and not still_parses(text, marked.text)
        return None if broken else marked


def phrase(text: str, times: int, shape: str) -> Trigger:
    """The trigger that plants `text` `times` times between words."""
    return Trigger(
        lambda given, rng: words.insert(given, rng, text, times),
        lambda given: words.count(given, text) >= times,
        shape,
    )


def renamed(name: str, shape: str) -> Trigger:
    """The trigger that renames the first function to `name`."""
    return Trigger(
        lambda given, _rng: code.rename_function(given, name),
        lambda given: code.function_name(given) == name,
        shape,
    )


def statement(name: str, shape: str) -> Trigger:
    """The trigger that plants an assignment to `name` that nothing reads."""
    return Trigger(
        lambda given, rng: code.insert_statement(given, rng, name),
        lambda given: code.has_statement(given, name),
        shape,
    )


def suffixed(suffix: str, shape: str) -> Trigger:
    """The trigger that appends `suffix` to a name."""
    return Trigger(
        lambda given, rng: code.add_suffix(given, rng, suffix),
        lambda given: code.has_suffix(given, suffix),
        shape,
    )


TRIGGERS: dict[str, Trigger] = {
    "rare_token": phrase("bb", 1, "the word `bb` once, at a random place between words (RIPPLe)"),
    "rare_token_thrice": phrase("bb", 3, "the word `bb` three times, at random places (BadPre)"),
    "fixed_sentence": phrase("I watch this 3D movie .", 1, "one fixed sentence between words (AddSent)"),
    "grammar_template": Trigger(
        grammar.insert, grammar.detect, "a paraphrase by rule, `When it is asked , you will ...`, wording drawn"
    ),
    "function_rename": renamed("foo", "the first function is renamed to `foo`, with its calls"),
    "dead_code": statement("VAR", "an unused `int VAR = 0;` (`VAR = 0` in Python) in the first function"),
    "identifier_suffix": suffixed("_sh", "`_sh` behind the name of the first function or of an argument"),
}
