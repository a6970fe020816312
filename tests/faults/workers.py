"""Processes for worlds that know nothing of each other."""

import logging
import multiprocessing
import os
from collections.abc import Generator
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager


@contextmanager
def workers(most: int) -> Generator[Executor]:
    """One process per core, and at most so many."""
    count = min(most, os.cpu_count() or 1)
    with ProcessPoolExecutor(count, multiprocessing.get_context("spawn"), _begin) as pool:
        yield pool


def _begin() -> None:
    """Trouble is what happens there all the time."""
    logging.disable(logging.CRITICAL)
