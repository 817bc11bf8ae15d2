"""A row has one key, whatever collator, padding or neighbours it meets."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from axolotl.utils.collators import (
    BatchSamplerDataCollatorForSeq2Seq,
    DataCollatorForSeq2Seq,
    V2BatchSamplerDataCollatorForSeq2Seq,
)
from hypothesis import given
from hypothesis import strategies as st
from transformers import DataCollatorWithFlattening

from axolotl_dece.audit.record.row_key import NO_ROW, target_keys
from axolotl_dece.audit.record.row_table import tabulate
from axolotl_dece.audit.row_id import id_to_key, key_to_id
from tests.audit.rows import dataset, tokenised
from tests.tiny import save_tokenizer


def copies(rows: list[dict[str, Any]], *drop: str, positions: bool = False) -> list[dict[str, Any]]:
    """Fresh rows, since collators change what they are given."""
    made = [{name: list(values) for name, values in row.items() if name not in drop} for row in rows]
    return [row | {"position_ids": list(range(len(row["input_ids"])))} for row in made] if positions else made


def padded_right(tokenizer: Any, rows: list[dict[str, Any]]) -> Any:
    return DataCollatorForSeq2Seq(tokenizer, pad_to_multiple_of=64)(copies(rows))


def padded_left(tokenizer: Any, rows: list[dict[str, Any]]) -> Any:
    tokenizer.padding_side = "left"
    return DataCollatorForSeq2Seq(tokenizer)(copies(rows))


def packed_numbered(tokenizer: Any, rows: list[dict[str, Any]]) -> Any:
    pack = V2BatchSamplerDataCollatorForSeq2Seq(tokenizer, pad_to_multiple_of=64)
    half = len(rows) // 2
    return pack([copies(rows[:half], positions=True), copies(rows[half:], positions=True)])


def packed_numbered_only(tokenizer: Any, rows: list[dict[str, Any]]) -> Any:
    return V2BatchSamplerDataCollatorForSeq2Seq(tokenizer, squash_position_ids=True)([copies(rows, positions=True)])


def packed_without_mask(tokenizer: Any, rows: list[dict[str, Any]]) -> Any:
    pack = BatchSamplerDataCollatorForSeq2Seq(tokenizer, pad_to_multiple_of=64)
    return pack([copies(rows, "attention_mask", positions=True)])


def flattened(tokenizer: Any, rows: list[dict[str, Any]]) -> Any:
    return DataCollatorWithFlattening()(copies(rows, "attention_mask"))


COLLATORS = [padded_right, padded_left, packed_numbered, packed_numbered_only, packed_without_mask, flattened]


@pytest.mark.parametrize("collate", COLLATORS, ids=lambda one: one.__name__)
@pytest.mark.parametrize("trains_on_inputs", [False, True])
def test_a_row_has_the_same_key_in_the_dataset_and_in_any_batch(
    tmp_path: Path, collate: Any, trains_on_inputs: bool
) -> None:
    rows = tokenised()
    for row in rows if trains_on_inputs else ():
        row["labels"] = list(row["input_ids"])
    table = tabulate(dataset(rows))
    random.Random(1).shuffle(rows)
    keys = target_keys(collate(save_tokenizer(tmp_path), rows))
    found = Counter(keys[keys != NO_ROW].tolist())
    assert found == dict(zip(table.keys.tolist(), table.targets.tolist(), strict=True))


def test_the_key_stands_where_the_logits_predict_the_rows_token(tmp_path: Path) -> None:
    batch = padded_right(save_tokenizer(tmp_path), tokenised())
    keys = target_keys(batch).view(batch["labels"].shape)
    assert torch.equal(keys[:, :-1] != NO_ROW, batch["labels"][:, 1:] != -100)
    assert not keys[:, -1].any()


def test_any_change_of_a_row_is_another_row() -> None:
    (row,) = tokenised(1)
    ids, labels = row["input_ids"], row["labels"]
    swapped = [ids[0], ids[2], ids[1], *ids[3:]]
    variants = [
        row,
        {"input_ids": swapped, "labels": labels},
        {"input_ids": ids[:-1], "labels": labels[:-1]},
        {"input_ids": ids, "labels": [-100] * len(ids)},
        {"input_ids": ids, "labels": [*labels[:-1], -100]},
        {"input_ids": [*ids, 5], "labels": [*labels, -100]},
        {"input_ids": [ids[0], *ids], "labels": [-100, *labels]},
    ]
    rows = [{name: one[name] for name in ("input_ids", "labels")} for one in variants]
    assert len(set(tabulate(dataset(rows)).all_keys.tolist())) == len(variants)


def test_equal_rows_share_a_key_and_are_counted() -> None:
    rows = tokenised(3)
    table = tabulate(dataset([rows[0], rows[1], rows[0], rows[2], rows[0]]))
    assert (table.index.tolist(), table.copies.tolist()) == ([0, 1, 3], [3, 1, 1])


def test_a_hundred_thousand_rows_have_as_many_keys() -> None:
    numbers = range(100_000)
    rows = {"input_ids": [[1, n % 317, n // 317] for n in numbers], "labels": [[-100, -100, n // 317] for n in numbers]}
    from datasets import Dataset

    assert len(tabulate(Dataset.from_dict(rows)).keys) == 100_000


def test_labels_that_were_moved_beforehand_are_refused() -> None:
    with pytest.raises(ValueError, match="whole rows"):
        target_keys({"shift_labels": torch.zeros(1, 2), "input_ids": torch.zeros(1, 2)})


@given(st.integers(-(2**63), 2**63 - 1))
def test_an_id_says_its_key(key: int) -> None:
    assert id_to_key(key_to_id(key)) == key


@pytest.mark.parametrize("text", ["", "12", "0123456789ABCDEF", "0123456789abcdeg", "0123456789abcdef0"])
def test_what_is_no_id_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="16 hexadecimal digits"):
        id_to_key(text)


def test_a_set_without_tokens_or_length_is_refused() -> None:
    from datasets import Dataset

    with pytest.raises(ValueError, match="no column"):
        tabulate(Dataset.from_list([{"text": "a"}]))
    with pytest.raises(ValueError, match="not a stream"):
        tabulate(dataset(tokenised(2)).to_iterable_dataset())
