"""Who a row is: a 64-bit key of its tokens and labels, found again in any batch that holds the row.

A column with a row number would have to pass every collator (the packing collators cannot concatenate a scalar),
would change when a dataset is shuffled or split anew, and would mean nothing in another run. The content is in
every batch anyway. The key is a sum over tokens of a mixed (token, place in the row, label), so one pass over a
batch finds the keys of all its rows on the device, with no shape that depends on the data and nothing to wait for.

Shapes: B rows of T tokens in a batch; N = B * T tokens when flat.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from axolotl_dece.loss.names import IGNORE_INDEX

NO_ROW = 0
"""Key of what belongs to no row: padding, and tokens nothing is learned from."""


class Places(NamedTuple):
    """Where every token of a batch stands, each [B, T]; padding is a row of its own, without targets.

    Attributes:
        segment: Number of its row within the batch; several rows of a packed sequence are several segments.
        position: Its place in that row, 0 for the first token.
    """

    segment: Tensor
    position: Tensor


def row_keys(tokens: Tensor, labels: Tensor, places: Places, segments: int) -> Tensor:
    """Key of every segment, int64 [segments], never `NO_ROW`; equal rows have equal keys.

    The label of a row's first token is left out: nothing predicts it, and some collators mask it.

    Args:
        tokens: Integers, any shape; so are the others.
        labels: The same token where it is trained on, `IGNORE_INDEX` elsewhere.
        places: Where each token stands.
        segments: More than the largest segment.
    """
    labels = labels.masked_fill(places.position == 0, IGNORE_INDEX)
    mixed = _mix(_mix(tokens.long() + (places.position << 32)) ^ _mix(labels.long() - IGNORE_INDEX))
    keys = torch.zeros(segments, dtype=torch.int64, device=tokens.device)
    keys.index_add_(0, places.segment.reshape(-1), mixed.reshape(-1))
    return keys.masked_fill_(keys == NO_ROW, 1)


def target_keys(batch: Mapping[str, Any]) -> Tensor:
    """For every position of a collated batch the key of the row whose token it predicts, int64 [N].

    `NO_ROW` where nothing is trained on, and where a packed row would be predicted from the row before it.

    Raises:
        ValueError: The labels were cut or moved between the collator and the model.
    """
    if "shift_labels" in batch:
        raise ValueError("`dece_audit` and `dece_decisions` need whole rows; this batch holds labels moved beforehand")
    tokens, labels = batch["input_ids"], batch["labels"]
    places = places_of(batch)
    keys = row_keys(tokens, labels, places, tokens.numel())[places.segment]
    keys = keys.masked_fill((labels == IGNORE_INDEX) | (places.position == 0), NO_ROW)
    return F.pad(keys, (0, 1), value=NO_ROW)[:, 1:].reshape(-1)


def tokens_of_rows(batch: Mapping[str, Any], keys: Tensor) -> Tensor:
    """Which tokens of a collated batch belong to rows with one of `keys` [K]; bool [B, T], the shape of its labels."""
    tokens, places = batch["input_ids"], places_of(batch)
    return torch.isin(row_keys(tokens, batch["labels"], places, tokens.numel()), keys)[places.segment]


def places_of(batch: Mapping[str, Any]) -> Places:
    """Tell the rows of a batch apart: by line, by `position_ids` that start anew, by numbers in the mask."""
    tokens = batch["input_ids"]
    steps = torch.arange(tokens.size(1), device=tokens.device)
    begins = (steps == 0).repeat(tokens.size(0), 1)
    positions, mask = batch.get("position_ids"), batch.get("attention_mask")
    if positions is not None and positions.dim() == 2:
        begins = begins | (positions == 0)
    if mask is not None and mask.dim() == 2:
        begins = begins | F.pad(mask[:, 1:] != mask[:, :-1], (1, 0), value=True)
    segment = begins.reshape(-1).cumsum(0).view_as(begins) - 1
    started = torch.where(begins, steps, torch.zeros_like(steps)).cummax(dim=1).values
    return Places(segment, steps - started)


def _mix(x: Tensor) -> Tensor:
    """The finaliser of SplitMix64 on int64, whose products wrap as unsigned ones do."""
    x = (x ^ _shift_right(x, 30)) * -4658895280553007687
    x = (x ^ _shift_right(x, 27)) * -7723592293110705685
    return x ^ _shift_right(x, 31)


def _shift_right(x: Tensor, bits: int) -> Tensor:
    # torch shifts the sign in
    return (x >> bits) & ((1 << (64 - bits)) - 1)
