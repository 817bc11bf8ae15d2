"""Between the trainer and the ledger: which row every target token belongs to, and what was withheld from it.

Nothing here waits for the device in a micro-batch. Keys and shares are copied without blocking while the step goes
on, and are entered when it is over, after the keeper's one wait.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from axolotl_dece.audit.record.ledger import Ledger
from axolotl_dece.audit.record.row_key import NO_ROW, target_keys
from axolotl_dece.loss.criterion import Criterion, Mixture
from axolotl_dece.loss.objective import Objective


class RowWatch:
    """Knows the rows of every micro-batch: trusted ones train as under cross-entropy, all of them go into the ledger.

    Args:
        objective: Computes the loss; asked for the statistics of single tokens.
        ledger: Where they go, or None where only decisions are carried out.
        trusted: Keys of the rows that train as under cross-entropy.
        epoch: Says which pass over the data is under way, from 0.
    """

    def __init__(
        self, objective: Objective, ledger: Ledger | None, trusted: Sequence[int], epoch: Callable[[], int]
    ) -> None:
        self.objective = objective
        self._trusted = torch.tensor(sorted(trusted), dtype=torch.int64)
        self._epoch = epoch
        self._step_epoch = 0
        self._expected: deque[Tensor] = deque()
        self._arrived: list[tuple[Tensor, Tensor]] = []
        self._copied: torch.cuda.Event | None = None
        self.start(ledger)

    def start(self, ledger: Ledger | None) -> None:
        """Begin training with `ledger`, and forget an earlier attempt."""
        self.ledger = ledger
        self._arrived = []
        self._is_over = False
        self.objective.observe = self._observe if ledger is not None else None

    def end(self) -> None:
        """Watch no more: the ledger stays as it is, and every row trains on what the objective says."""
        self.end_step()
        self._is_over = True
        self.objective.observe = None

    def begin_step(self, batches: Sequence[Mapping[str, Any]]) -> None:
        """Find the rows of the micro-batches of an optimiser step before it runs."""
        self.end_step()  # the leftovers of an epoch that the trainer never took a step on
        if self._is_over:
            return
        self._step_epoch = self._epoch()
        keys = [target_keys(batch) for batch in batches]
        if self.ledger is not None:
            self._expected = deque(keys)
        if len(self._trusted):
            self._trusted = self._trusted.to(keys[0].device)
            self.objective.plain = deque(torch.isin(one, self._trusted) for one in keys)

    def _observe(self, sigma: Tensor) -> None:
        keys = self._expected.popleft()
        shares = ((1.0 - sigma / sigma_when_sure(self.objective.criterion)) * 255.0).round().clamp_(0.0, 255.0)
        shares = shares.to(torch.uint8)
        self._arrived.append((keys.to("cpu", non_blocking=True), shares.to("cpu", non_blocking=True)))
        if sigma.is_cuda:
            self._copied = torch.cuda.Event()
            self._copied.record(torch.cuda.current_stream(sigma.device))

    def end_step(self) -> None:
        """Enter what arrived; the device is by now busy with the optimiser's step."""
        arrived, self._arrived = self._arrived, []
        if self.ledger is None or not arrived:
            return
        if self._copied is not None:
            self._copied.synchronize()
        keys, shares = (torch.cat(parts).numpy() for parts in zip(*arrived, strict=True))
        known = keys != NO_ROW
        self.ledger.fold(keys[known], shares[known], self._step_epoch)


def sigma_when_sure(criterion: Criterion) -> float:
    """sigma of a target the model is sure of (p = 1): what a small alpha withholds from every token is no news."""
    if not isinstance(criterion, Mixture):
        return 1.0  # GCE pulls a token it is sure of as cross-entropy does
    alpha = float(criterion.alpha)
    return alpha / (alpha + (1.0 - alpha) * (1.0 - criterion.label_smoothing))
