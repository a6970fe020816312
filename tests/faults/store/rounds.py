"""How long the campaigns on the store are."""

from faults.report import rounds

ROUNDS = rounds(4, 500)
"""Kills of a process that writes."""
STRIDE = rounds(8, 1)
"""Of the operations of a disk, every how many-th is made to fail."""
CRASHES = rounds(3, 200)
"""Crashes of PostgreSQL below three gateways."""
CUTS = rounds(100, 10_000)
"""Connections to PostgreSQL that are cut between a commit and its answer."""
