"""How long the campaigns are: TUNEGATE_FAULT_ROUNDS, small for every run of the tests, thousands for a full campaign."""

import os

ROUNDS = int(os.environ.get("TUNEGATE_FAULT_ROUNDS", "4"))
STRIDE = max(1, 32 // ROUNDS)
"""Of the operations of a disk, every how many-th is made to fail: all of them from 32 rounds on."""
