"""Concurrent creates share a transaction: what waits while a group is under way becomes the next one."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence

from tunegate.control.store.protocol import Created, Submission
from tunegate.sdk.errors import TunegateError

MAX_GROUP = 64
CONCURRENT_GROUPS = 2
"""While one is synced, the next is filled and sent."""


class Creator:
    """Collects what waits while a group is under way."""

    def __init__(
        self,
        store_all: Callable[[Sequence[Submission]], Awaitable[list[Created]]],
        store_one: Callable[[Submission], Awaitable[Created]],
        *,
        sort: bool = False,
    ) -> None:
        """With `sort` a group is stored in the order of its job ids, else in the order of arrival."""
        self._store_all = store_all
        self._store_one = store_one
        self._sort = sort
        self._waiting: deque[tuple[Submission, asyncio.Future[Created]]] = deque()
        self._groups: set[asyncio.Task[None]] = set()

    async def create(self, submission: Submission) -> Created:
        """Durable when it returns."""
        answer: asyncio.Future[Created] = asyncio.get_running_loop().create_future()
        self._waiting.append((submission, answer))
        if len(self._groups) < CONCURRENT_GROUPS:
            task = asyncio.create_task(self._run())
            self._groups.add(task)
            task.add_done_callback(self._groups.discard)
        return await answer

    async def _run(self) -> None:
        while self._waiting:
            group = [self._waiting.popleft() for _ in range(min(MAX_GROUP, len(self._waiting)))]
            if self._sort:
                group.sort(key=lambda each: (each[0].job.tenant, each[0].job.job_id))
            try:
                created = await self._store_all([submission for submission, _ in group])
            except TunegateError as error:
                for _, answer in group:
                    _fail(answer, error)
            except Exception:  # noqa: BLE001 - one of them is wrong: each alone finds out which
                for submission, answer in group:
                    await self._alone(submission, answer)
            else:
                for (_, answer), result in zip(group, created, strict=True):
                    if not answer.done():
                        answer.set_result(result)

    async def _alone(self, submission: Submission, answer: asyncio.Future[Created]) -> None:
        try:
            created = await self._store_one(submission)
        except Exception as error:  # noqa: BLE001 - it is handed to the caller
            _fail(answer, error)
        else:
            if not answer.done():
                answer.set_result(created)


def _fail(answer: asyncio.Future[Created], error: Exception) -> None:
    if not answer.done():  # its caller may be gone
        answer.set_exception(error)
