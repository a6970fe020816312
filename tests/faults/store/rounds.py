"""How long the campaigns on the store are."""

from faults.report import rounds

ROUNDS = rounds(4, 500)
"""Kills of a process that writes."""
STRIDE = rounds(8, 1)
"""Of the operations of a disk, every how many-th is made to fail."""
