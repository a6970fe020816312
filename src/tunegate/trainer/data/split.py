"""A held-out slice for jobs that bring no evaluation data."""

import numpy as np

from tunegate.trainer.data.tokens import TokenStore

_MIN_EXAMPLES = 10
"""Fewer examples are all trained on."""
_MAX_HELD_OUT = 1000


def hold_out(store: TokenStore, fraction: float, seed: int) -> tuple[TokenStore, TokenStore]:
    """(training, evaluation): a seeded draw of `fraction` of the examples, 1 to 1000 of them; none of fewer than 10."""
    count = min(max(round(len(store) * fraction), 1), _MAX_HELD_OUT)
    if fraction <= 0 or len(store) < _MIN_EXAMPLES:
        count = 0
    order = np.random.default_rng(seed).permutation(len(store)).astype(np.int64)
    return store.take(np.sort(order[count:])), store.take(np.sort(order[:count]))
