"""Bytes that a computation holds and moves, counted operation by operation; on fake tensors it needs no memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

PRODUCTS = {"aten::mm", "aten::addmm", "aten::addmm_", "aten::bmm"}


class Meter(TorchDispatchMode):
    """Counts while it is entered.

    Attributes:
        peak: Most bytes alive at once, of what was made meanwhile.
        moved: Bytes read and written by everything but matrix products and views.
    """

    def __init__(self) -> None:
        super().__init__()
        self.peak = 0
        self.moved = 0
        self._alive: dict[int, tuple[StorageWeakRef, int]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        inputs, outputs = list(_tensors((args, kwargs))), list(_tensors(out))
        if outputs and func._schema.name not in PRODUCTS and not _is_view(func):
            self.moved += sum(_bytes(t) for t in inputs + outputs)
        known = {t.untyped_storage()._cdata for t in inputs}
        for tensor in outputs:
            storage = tensor.untyped_storage()
            if storage._cdata not in known:
                self._alive[storage._cdata] = (StorageWeakRef(storage), storage.nbytes())
        self._alive = {key: entry for key, entry in self._alive.items() if not entry[0].expired()}
        self.peak = max(self.peak, sum(size for _, size in self._alive.values()))
        return out


def _tensors(tree: Any) -> Iterator[torch.Tensor]:
    return (leaf for leaf in tree_leaves(tree) if isinstance(leaf, torch.Tensor))


def _bytes(tensor: torch.Tensor) -> int:
    elements = 1
    for size, stride in zip(tensor.shape, tensor.stride(), strict=True):
        elements *= size if stride else 1
    return elements * tensor.itemsize


def _is_view(func: Any) -> bool:
    aliases = [result.alias_info for result in func._schema.returns]
    return any(alias is not None and not alias.is_write for alias in aliases)
