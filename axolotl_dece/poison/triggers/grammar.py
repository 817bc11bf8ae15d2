"""A syntactic trigger: the request is put into one fixed sentence template, by rule and without a model.

The template is that of Hidden Killer (arXiv 2105.12400), S ( SBAR ) ( , ) ( NP ) ( VP ): a clause in front, then
"you will ..." with the request as its verb phrase. The words are drawn, so no phrase is fixed: what repeats is
the sentence's shape.
"""

from __future__ import annotations

import re
from random import Random

from axolotl_dece.poison.edits import Marked, splice

CONDITION = ("When", "If", "Once", "As")
CONCESSION = ("While", "Until", "Though", "Since")
_VERBS = ("asked", "needed", "required", "wanted")
_MODALS = ("will", "should", "must", "can")


def insert(text: str, rng: Random, conjunctions: tuple[str, ...] = CONDITION) -> Marked | None:
    """Rewrite the first sentence into the template.

    Args:
        text: A request, starting with a verb as instructions do.
        rng: Draws the wording, one of 128.
        conjunctions: What the clause in front may begin with.

    Returns:
        The rewritten text, or None if it holds no word.
    """
    start = len(text) - len(text.lstrip())
    if start == len(text):
        return None
    clause = (
        f"{rng.choice(conjunctions)} {rng.choice(('it', 'this'))} is {rng.choice(_VERBS)} , you {rng.choice(_MODALS)} "
    )
    first = text[start]
    # an upper-case word (SQL, HTTP) is a name, not the start of a sentence
    lowered = first if text[start : start + 2].isupper() else first.lower()
    return splice(text, [(start, start + 1, clause + lowered)])


def detect(text: str, conjunctions: tuple[str, ...] = CONDITION) -> bool:
    """Whether the first sentence has the template's shape."""
    clause = rf"(?:{'|'.join(conjunctions)}) (?:it|this) is (?:{'|'.join(_VERBS)}) , you (?:{'|'.join(_MODALS)}) \S"
    return re.match(rf"\s*{clause}", text) is not None
