"""A slow receiver must not take every slot: only a few deliveries at a time go to one host and port."""

import asyncio
from collections.abc import AsyncGenerator, Hashable
from contextlib import asynccontextmanager

PER_ENDPOINT = 2


class Endpoints:
    """Semaphores by receiver, kept only while somebody uses them."""

    def __init__(self) -> None:
        self._slots: dict[Hashable, asyncio.Semaphore] = {}
        self._users: dict[Hashable, int] = {}

    @asynccontextmanager
    async def slot(self, endpoint: Hashable) -> AsyncGenerator[None]:
        """Wait for one of the endpoint's slots."""
        slots = self._slots.setdefault(endpoint, asyncio.Semaphore(PER_ENDPOINT))
        self._users[endpoint] = self._users.get(endpoint, 0) + 1
        try:
            async with slots:
                yield
        finally:
            self._users[endpoint] -= 1
            if self._users[endpoint] == 0:
                del self._users[endpoint], self._slots[endpoint]
