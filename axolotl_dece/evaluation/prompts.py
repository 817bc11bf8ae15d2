"""From rows to prompts, by the very strategy that made the training tokens."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from axolotl.utils.data.wrappers import get_dataset_wrapper
from axolotl.utils.dict import DictDefault
from datasets import Dataset

from axolotl_dece.loss.names import IGNORE_INDEX

# longer than any row: the training set drops long rows, a test set must not be cut
_NO_LIMIT = 1_000_000_000


@dataclass(frozen=True)
class TokenRow:
    """One row as token ids: what the model is given and what it was trained to say, end token included.

    `planted` rows have a payload in their answer that the poisoner put there. `reference` is the answer as it stands
    in the file, where that is known.
    """

    prompt: list[int]
    answer: list[int]
    planted: bool = False
    reference: str | None = None


def tokenize_rows(rows: Sequence[Mapping[str, Any]], recipe: Mapping[str, Any], tokenizer: Any) -> list[TokenRow]:
    """Tokenise rows as in training; the prompt is everything before the last stretch of trained tokens.

    Raises:
        ValueError: If a row has no prompt or no answer under this recipe, or lacks a column it needs.
    """
    entry = DictDefault({"path": "rows", **recipe["dataset"]})
    cfg = DictDefault({**recipe["config"], "train_on_inputs": False, "sequence_len": _NO_LIMIT})
    base_type, _, style = entry.type.partition(":") if isinstance(entry.type, str) else ("", "", "")
    dataset = Dataset.from_list([dict(row) for row in rows])
    try:
        tokenized, _prompter = get_dataset_wrapper(entry, tokenizer, cfg, base_type, dataset, style or None)
    except KeyError as error:
        raise ValueError(
            f"the rows have no column {error}, which dataset type `{entry.type}` reads; "
            f"their columns are {', '.join(dataset.column_names)}"
        ) from error
    if len(tokenized) != len(rows):
        raise ValueError(f"dataset type `{entry.type}` keeps {len(tokenized)} of {len(rows)} rows; clean the test file")
    return [_split(number, row["input_ids"], row["labels"]) for number, row in enumerate(tokenized)]


def _split(number: int, tokens: list[int], labels: list[int]) -> TokenRow:
    spans = list(_trained_spans(labels))
    if not spans:
        raise ValueError(f"row {number} has no answer under this prompt format; is its reference empty?")
    start, end = spans[-1]
    if start == 0:
        raise ValueError(
            f"row {number} has no prompt: its dataset type trains on the whole text (`completion`?), so there is "
            "nothing to ask. Evaluate with a config whose dataset type has a prompt and an answer"
        )
    return TokenRow(tokens[:start], tokens[start:end])


def _trained_spans(labels: Sequence[int]) -> Iterator[tuple[int, int]]:
    start = None
    for place, label in enumerate([*labels, IGNORE_INDEX]):
        if label != IGNORE_INDEX and start is None:
            start = place
        elif label == IGNORE_INDEX and start is not None:
            yield start, place
            start = None
