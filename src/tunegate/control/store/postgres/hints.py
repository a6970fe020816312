"""LISTEN and NOTIFY: replicas tell each other which jobs changed. A hint over polling, so nothing hangs on it."""

import asyncio
import logging
import secrets
from collections.abc import Callable, Iterable
from contextlib import suppress

from psycopg import AsyncConnection, sql
from psycopg_pool import AsyncConnectionPool

from tunegate.control.store.postgres.connections import WAIT_S
from tunegate.control.store.postgres.dialect import Connection
from tunegate.control.store.postgres.trouble import TROUBLE

CHANNEL = "tunegate_job"
GATHER_S = 0.005
"""Changes that come so close together leave as one message: NOTIFY is a lock that all commits share."""
_PER_MESSAGE = 200
"""A message holds 8000 bytes."""
_AGAIN_S = 1.0
logger = logging.getLogger(__name__)


class Hints:
    """Sends what this replica touched, and hears what others did."""

    def __init__(
        self, pool: AsyncConnectionPool[Connection], conninfo: str, heard: Callable[[str], None]
    ) -> None:
        self._pool = pool
        self._conninfo = conninfo
        self._heard = heard
        self._me = secrets.token_hex(6)
        self._unsent: set[str] = set()
        self._something = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        self._tasks = [
            asyncio.create_task(self._send_forever(), name="store hints, sent"),
            asyncio.create_task(self._listen_forever(), name="store hints, heard"),
        ]

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def tell(self, uids: Iterable[str]) -> None:
        """Others hear of it soon, or not at all."""
        self._unsent.update(uids)
        if self._unsent:
            self._something.set()

    async def _send_forever(self) -> None:
        while True:
            await self._something.wait()
            await asyncio.sleep(GATHER_S)
            self._something.clear()
            uids, self._unsent = sorted(self._unsent), set()
            for first in range(0, len(uids), _PER_MESSAGE):
                text = " ".join([self._me, *uids[first : first + _PER_MESSAGE]])
                with suppress(*TROUBLE):
                    async with self._pool.connection(timeout=WAIT_S) as connection:
                        await connection.execute("SELECT pg_notify(%s, %s)", (CHANNEL, text))

    async def _listen_forever(self) -> None:
        while True:
            try:
                await self._listen()
            except TROUBLE:
                logger.info("The job store's hints are cut; polling goes on")
            await asyncio.sleep(_AGAIN_S)

    async def _listen(self) -> None:
        async with await AsyncConnection.connect(self._conninfo, autocommit=True) as connection:
            await connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(CHANNEL)))
            async for message in connection.notifies():
                sender, *uids = message.payload.split(" ")
                if sender != self._me:
                    for uid in uids:
                        self._heard(uid)
