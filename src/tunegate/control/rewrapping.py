"""Moves the data keys of live jobs to the key that wraps now, and tells which keys are still in use."""

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import AsyncGenerator, Mapping

from tunegate.control.audit import Happening
from tunegate.control.sealed import CALLBACKS, REQUEST
from tunegate.control.sealer import (
    FORMAT,
    KEY,
    SealBroken,
    SealContext,
    Sealer,
    is_first_format,
    key_id_of,
)
from tunegate.control.store.protocol import JobStore, SealedRow
from tunegate.sdk.clock import Clock
from tunegate.sdk.errors import TunegateError

PAGE = 200
ANYWAY_S = 3600.0
"""A look at all jobs though no key changed: a gateway that heard of a rotation late may have used the key before."""
logger = logging.getLogger(__name__)


async def keys_in_use(store: JobStore) -> Counter[str]:
    """Live sealed jobs by the key that their secrets hang on."""
    return Counter([key_id_of(row.body) async for row in _rows(store)])


async def rewrap(store: JobStore, sealer: Sealer) -> int:
    """Every job whose secrets hang on another key than the active one; their number. Raises TunegateError unavailable.

    A job that changes meanwhile is left for the next time, and so is one whose own key is gone.
    """
    moved = 0
    async for row in _rows(store):
        if row.field == KEY and key_id_of(row.body) == sealer.active:
            continue
        try:
            moved += await _move(store, sealer, row)
        except SealBroken as error:
            logger.error("The keys of a job can't be renewed: %s", error)  # noqa: TRY400
    return moved


async def _rows(store: JobStore) -> AsyncGenerator[SealedRow]:
    after = ("", "")
    while page := await store.list_sealed(KEY, FORMAT, after, PAGE):
        for row in page:
            yield row
        after = (page[-1].uid, page[-1].field)


async def _move(store: JobStore, sealer: Sealer, row: SealedRow) -> bool:
    place = SealContext(tenant=row.tenant, uid=row.uid, field=row.field)
    if row.field == KEY:
        new = {KEY: await sealer.rewrapped(place, row.body)}
        return await store.replace_sealed(row.uid, {KEY: row.body}, new)
    old = await _first_format_fields(store, row.uid)
    if row.field != next(iter(old), None):
        return False  # the job's other rows went with its first one
    plain = {
        field: await sealer.open(
            SealContext(tenant=row.tenant, uid=row.uid, field=field), body, None
        )
        for field, body in old.items()
    }
    key = await store.get_sealed(row.uid, KEY)
    new = await sealer.seal(row.tenant, row.uid, plain, key)
    return await store.replace_sealed(row.uid, old, new)


async def _first_format_fields(store: JobStore, uid: str) -> Mapping[str, bytes]:
    """In the order in which they are listed."""
    found = [(field, await store.get_sealed(uid, field)) for field in sorted((REQUEST, CALLBACKS))]
    return {field: body for field, body in found if body is not None and is_first_format(body)}


class KeyKeeper:
    """Rewraps soon after a rotation, for as long as the gateway runs."""

    def __init__(self, store: JobStore, sealer: Sealer, clock: Clock, every_s: float) -> None:
        self._store = store
        self._sealer = sealer
        self._clock = clock
        self._every_s = every_s
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """The first look comes at once: the key may have been changed while nobody ran."""
        self._task = asyncio.create_task(self._run(), name="keys")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        done, looked_s = None, 0.0
        known = self._sealer.active
        while True:
            now_s = self._clock.monotonic_s()
            try:
                if known != self._sealer.active:
                    rotated = Happening(kind="keys.rotated", data={"key": self._sealer.active})
                    await self._store.note_audit([rotated])
                    known = self._sealer.active
                if done != (active := self._sealer.active) or now_s - looked_s >= ANYWAY_S:
                    moved = await rewrap(self._store, self._sealer)
                    if moved:
                        logger.info("%d jobs are now sealed under key %s", moved, active)
                    # As long as something moves, others may still be sealing with the key before.
                    done, looked_s = (None if moved else active), now_s
            except TunegateError as error:
                logger.warning("Keys can't be renewed now: %s", error)
            except Exception:
                logger.exception("Keys could not be renewed")
            await self._clock.sleep(self._every_s)
