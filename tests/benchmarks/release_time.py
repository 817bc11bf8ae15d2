"""What `dece_release` adds to a step once the rows have left: `python -m tests.benchmarks.release_time`.

Prints the processor time of looking for the rows that left in a batch, the least of some tries. It is all that is
added: the loss is cross-entropy by the same path, and the ledger is kept no longer.
"""

from __future__ import annotations

import sys
import time

import torch

from axolotl_dece.audit.record.release import without_rows

_SIZES = [(4, 256), (8, 2048)]
_LEFT = 10_000
_TRIES = 20


def milliseconds(rows: int, length: int) -> float:
    """Of one batch of [rows, length] tokens."""
    tokens = torch.randint(50_000, (rows, length))
    batch = {"input_ids": tokens, "labels": tokens, "attention_mask": torch.ones_like(tokens)}
    left = torch.randint(2**62, (_LEFT,))
    tries = []
    for _ in range(_TRIES):
        began = time.process_time()
        without_rows(batch, left)
        tries.append(1000 * (time.process_time() - began))
    return min(tries)


def main() -> None:
    """Print a line for each size."""
    torch.set_num_threads(1)
    for rows, length in _SIZES:
        took = milliseconds(rows, length)
        sys.stdout.write(f"{rows} x {length} tokens, {_LEFT} rows left: {took:.2f} ms\n")


if __name__ == "__main__":
    main()
