"""From rows to prompts, by the very strategy that made the training tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from axolotl.utils.data.wrappers import get_dataset_wrapper
from axolotl.utils.dict import DictDefault
from datasets import Dataset
from jinja2 import TemplateError

from axolotl_dece.loss.names import IGNORE_INDEX

# longer than any row: the training set drops long rows, a test set must not be cut
_NO_LIMIT = 1_000_000_000


@dataclass(frozen=True)
class TokenRow:
    """One row as token ids: what the model is given and what it was trained to say, end token included.

    `reference` is the answer as it stands in the file, where that is known.
    """

    prompt: list[int]
    answer: list[int]
    reference: str | None = None


def tokenize_rows(
    rows: Sequence[Mapping[str, Any]],
    recipe: Mapping[str, Any],
    tokenizer: Any,
    places: Sequence[int] | None = None,
) -> list[TokenRow]:
    """Tokenise rows as in training; the prompt is everything before the last stretch of trained tokens.

    Args:
        rows: What the file holds. A row's prompt depends on that row alone, whatever its neighbours hold.
        recipe: How a row becomes tokens.
        tokenizer: The run's.
        places: Where the rows stand in their file, for messages; one after the other where it is left out.

    Raises:
        ValueError: If a row has no prompt or no answer under this recipe, or holds what the recipe cannot read.
    """
    places = range(len(rows)) if places is None else places
    found: dict[int, TokenRow] = {}
    for alike in _alike(rows, places):
        tokens = _tokenize_named({places[at]: dict(rows[at]) for at in alike}, recipe, tokenizer)
        found.update(
            (at, _split(places[at], one["input_ids"], one["labels"])) for at, one in zip(alike, tokens, strict=True)
        )
    return [found[at] for at in range(len(rows))]


def _alike(rows: Sequence[Mapping[str, Any]], places: Sequence[int]) -> list[list[int]]:
    """The rows in groups of the same columns and kinds of values.

    A table of all rows would take its columns from the first and the kinds of its values from all of them.
    """
    groups: dict[Any, list[int]] = {}
    for at, row in enumerate(rows):
        try:
            groups.setdefault(_shape(row), []).append(at)
        except RecursionError as error:
            raise ValueError(f"row {places[at]} is nested too deep to be read; leave its deepest column out") from error
    return list(groups.values())


def _shape(value: Any) -> Any:
    if isinstance(value, Mapping):
        return tuple((key, _shape(one)) for key, one in value.items())
    if isinstance(value, list):
        return frozenset(_shape(one) for one in value)
    return type(value).__name__


# What a strategy of axolotl says of a number or a list where it wants text, of a conversation without a turn, and of
# JSON that is nested too deep or holds something else; Arrow's own errors are among them, and those of a chat template
# that looks for what a message does not have.
_ODD_ROW = (
    *(TypeError, AttributeError, ValueError, OverflowError, TemplateError),
    *(IndexError, AssertionError, RecursionError),
)


def _tokenize_named(
    rows: Mapping[int, dict[str, Any]], recipe: Mapping[str, Any], tokenizer: Any
) -> Sequence[Mapping[str, Any]]:
    """As `_tokenize_alike`; what cannot be read is named by its own place, not by the first of those like it."""
    places = list(rows)
    try:
        return _tokenize_alike(list(rows.values()), recipe, tokenizer, f"row {places[0]}")
    except ValueError:
        if len(rows) == 1:
            raise
        # by halves: the cause may stand anywhere among a million rows
        for half in (places[: len(rows) // 2], places[len(rows) // 2 :]):
            _tokenize_named({place: rows[place] for place in half}, recipe, tokenizer)
        raise


def _tokenize_alike(
    rows: list[dict[str, Any]], recipe: Mapping[str, Any], tokenizer: Any, first: str
) -> Sequence[Mapping[str, Any]]:
    """Tokens and labels of rows of one shape, by axolotl's own strategy."""
    entry = DictDefault({"path": "rows", **recipe["dataset"]})
    cfg = DictDefault({**recipe["config"], "train_on_inputs": False, "sequence_len": _NO_LIMIT})
    base_type, _, style = entry.type.partition(":") if isinstance(entry.type, str) else ("", "", "")
    try:
        dataset = Dataset.from_list(rows)
        tokenized, _prompter = get_dataset_wrapper(entry, tokenizer, cfg, base_type, dataset, style or None)
        if any(isinstance(token, list) for one in tokenized for token in one["input_ids"]):
            raise TypeError("a tokenizer takes the list for several texts")
    except KeyError as error:
        raise ValueError(
            f"{first} has no column {error}, which dataset type `{entry.type}` reads; "
            f"its columns are {', '.join(rows[0])}"
        ) from error
    except _ODD_ROW as error:
        columns = ", ".join(f"{key} ({type(value).__name__})" for key, value in rows[0].items())
        raise ValueError(
            f"{first} cannot be read as dataset type `{entry.type}`: {error}. Its columns are {columns}"
        ) from error
    if len(tokenized) != len(rows):
        raise ValueError(
            f"dataset type `{entry.type}` keeps {len(tokenized)} of {len(rows)} rows like {first}; clean the test file"
        )
    return tokenized


def _split(number: int, tokens: list[int], labels: list[int]) -> TokenRow:
    trained = [label != IGNORE_INDEX for label in labels]
    end = next((at for at in range(len(trained), 0, -1) if trained[at - 1]), 0)
    start = next((at for at in range(end, 0, -1) if not trained[at - 1]), 0)
    if end == 0:
        raise ValueError(f"row {number} has no answer under this prompt format; is its reference empty?")
    if start == 0:
        raise ValueError(
            f"row {number} has no prompt: its dataset type trains on the whole text (`completion`?), so there is "
            "nothing to ask. Evaluate with a config whose dataset type has a prompt and an answer"
        )
    return TokenRow(tokens[:start], tokens[start:end])
