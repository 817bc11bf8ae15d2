"""Arithmetic that both implementations of the rows share: how many factors one logarithm takes."""

from __future__ import annotations

import math


def longest_product(largest: float) -> int:
    """How many factors 1 + t_i with sum(t_i) <= `largest` can be multiplied in fp32 without overflow: 1, 2 or 4."""
    for count in (4, 2):
        if count * math.log10(2.0 + largest / count) < 37.5:
            return count
    return 1
