"""`Background`: one thread with an event loop of its own. All I/O runs there while the main thread computes."""

import asyncio
import concurrent.futures
import threading
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Self, TypeVar

from tunegate.trainer.stop import StopFlag

T = TypeVar("T")
LOOK_S = 0.1
"""How often a waiting main thread looks at the stop flag."""
WORKERS = 6
"""Threads for the blocking calls of the loop, such as reading a file."""


class Background:
    """A context manager; on leaving, what still runs is cancelled.

    All threads are there from the start: one that begins when the memory is used up can fail before it says that it has
    begun, and Python waits for that word without end.
    """

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._workers = concurrent.futures.ThreadPoolExecutor(WORKERS, "background")
        self._loop.set_default_executor(self._workers)
        self._thread = threading.Thread(target=self._serve, name="background", daemon=True)

    def __enter__(self) -> Self:
        together = threading.Barrier(WORKERS + 1)
        for _ in range(WORKERS):
            self._workers.submit(together.wait)
        together.wait()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def start(self, work: Coroutine[Any, Any, T]) -> concurrent.futures.Future[T]:
        """Begin `work`; its result comes through the future."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def run(self, work: Coroutine[Any, Any, T], stop: StopFlag | None = None) -> T:
        """Wait for `work`. With `stop`, give it up and raise StopRequested when a stop is asked for."""
        return self.wait(self.start(work), stop)

    def aside(self, work: Callable[[], T]) -> concurrent.futures.Future[T]:
        """Begin `work`, which computes, in a thread of its own; the end of the process does not wait for it."""
        future = concurrent.futures.Future[T]()
        future.set_running_or_notify_cancel()

        def compute() -> None:
            try:
                future.set_result(work())
            except BaseException as error:  # noqa: BLE001 (raised where the result is asked for)
                future.set_exception(error)

        threading.Thread(target=compute, name="aside", daemon=True).start()
        return future

    def wait(self, future: concurrent.futures.Future[T], stop: StopFlag | None = None) -> T:
        """The result of a future of `start` or `aside`."""
        while True:
            try:
                return future.result(timeout=LOOK_S)
            except concurrent.futures.TimeoutError:
                if future.done():
                    raise  # the work's own time-out
                if stop is not None and stop.reason is not None:
                    future.cancel()
                    stop.check()

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
        finally:
            tasks = asyncio.all_tasks(self._loop)
            for task in tasks:
                task.cancel()
            self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._workers.shutdown()  # the loop's own way begins a thread for it
            self._loop.close()
