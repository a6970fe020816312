"""Names of new jobs: they grow with time, so that the rows of jobs that come together lie together in every index."""

from functools import lru_cache

from tunegate.control.randomness import random_bytes

_DIGITS = "0123456789abcdefghijklmnopqrstuv"
_PAIRS = [high + low for high in _DIGITS for low in _DIGITS]
_PAIRS_OF_TIME = _PAIRS_OF_CHANCE = 5


def new_uid(now_ms: int) -> str:
    """20 of [0-9a-v] that sort by time: ms since 1970, then 50 bits of chance."""
    return _time(now_ms) + _written(int.from_bytes(random_bytes(7), "big"), _PAIRS_OF_CHANCE)


@lru_cache(maxsize=8)
def _time(now_ms: int) -> str:
    return _written(now_ms, _PAIRS_OF_TIME)


def _written(number: int, pairs: int) -> str:
    """The lowest bits in base 32, ten to a pair of digits."""
    return "".join([_PAIRS[number >> shift & 1023] for shift in range(10 * pairs - 10, -10, -10)])
