"""The thread beside the training, and those that it has for blocking calls."""

import asyncio
import threading
from typing import Never

import pytest

from tunegate.trainer.background import WORKERS, Background


def test_no_thread_begins_once_it_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also not at its end: with no memory left, one that begins may never say so."""
    together = threading.Barrier(WORKERS)

    async def all_at_once() -> list[int]:
        return await asyncio.gather(*(asyncio.to_thread(together.wait) for _ in range(WORKERS)))

    def refuse(thread: threading.Thread) -> Never:
        raise AssertionError(f"{thread.name} begins")

    with Background() as background:
        monkeypatch.setattr(threading.Thread, "start", refuse)
        assert len(background.run(all_at_once())) == WORKERS


def test_what_runs_at_the_end_is_cancelled() -> None:
    with Background() as background:
        future = background.start(asyncio.Event().wait())
        background.run(asyncio.sleep(0))
    assert future.cancelled()
