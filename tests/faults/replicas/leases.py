"""Who looks after which job at this moment, as the database has it."""

import asyncio
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

import psycopg

LOOK_S = 0.02
_HELD = """
SELECT uid, job_id, state, owner, epoch FROM job
WHERE active = 1 AND lease_until_ms > extract(epoch FROM clock_timestamp()) * 1000
"""
_NOW = "SELECT uid, owner, epoch FROM job WHERE uid = ANY(%s)"


@dataclass(frozen=True)
class Lease:
    uid: str
    job_id: str
    state: str
    owner: str
    epoch: int


class Leases:
    """An async context manager over one connection."""

    def __init__(self, url: str) -> None:
        self._url = url

    async def __aenter__(self) -> Self:
        self._connection = await psycopg.AsyncConnection.connect(self._url, autocommit=True)
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._connection.close()

    async def held(self) -> set[Lease]:
        """By anybody, and not run out."""
        rows = await (await self._connection.execute(_HELD)).fetchall()
        return {Lease(*row) for row in rows}

    async def passed_on(self, held: Iterable[Lease], since_s: float, limit_s: float) -> float:
        """Seconds from `since_s` until others have taken all of them; infinite when that is not so within the limit.

        Raises StillHeld when one was not in the hands that we thought: its holder has leased it again.
        """
        waiting = {lease.uid: lease for lease in held}
        while (took_s := time.monotonic() - since_s) <= limit_s:
            rows = await (await self._connection.execute(_NOW, (sorted(waiting),))).fetchall()
            for uid, owner, epoch in rows:
                before = waiting[uid]
                if epoch > before.epoch:
                    if owner == before.owner:
                        raise StillHeld
                    del waiting[uid]
            if not waiting:
                return took_s
            await asyncio.sleep(LOOK_S)
        return float("inf")


class StillHeld(Exception):
    """The holder of a lease was not the one that was stopped."""
