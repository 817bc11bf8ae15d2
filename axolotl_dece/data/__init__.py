"""Where rows come from and how they are written: what poisoning, evaluation, audit and cards stand on."""

STRATEGY = "axolotl_dece.poison"
"""What `type` of a dataset entry says when its rows are poisoned."""
