"""Bugs to plant in a gateway that will be killed: each breaks one promise, and the checker must see it."""

import asyncio
from collections.abc import Callable
from typing import Any, NamedTuple

from msgspec.structs import replace

from tunegate.control.outbox import Outbox
from tunegate.control.records import Delivery
from tunegate.control.store.protocol import Claim, Created, Submission
from tunegate.control.store.sqlite import SqliteStore
from tunegate.launchers.local.launcher import LocalLauncher
from tunegate.sdk.launcher import Run

_later: set[asyncio.Task[Any]] = set()


def _acknowledged_early() -> None:
    """The 201 leaves before the commit."""
    create = SqliteStore.create_job

    async def create_later(self: SqliteStore, submission: Submission) -> Created:
        async def write() -> None:
            await asyncio.sleep(0.5)
            await create(self, submission)

        task = asyncio.create_task(write())
        _later.add(task)
        return Created(job=submission.job, created=True)

    SqliteStore.create_job = create_later


def _delivered_first() -> None:
    """A webhook counts as delivered before it is sent."""
    deliver = Outbox.deliver

    async def deliver_late(self: Outbox, delivery: Delivery) -> None:
        await self._store.delivered(delivery.delivery_id)  # pyright: ignore[reportPrivateUsage]
        await deliver(self, delivery)

    Outbox.deliver = deliver_late


def _runs_doubled() -> None:
    """Each run is started twice, and the fence lets both in."""
    submit, claim = LocalLauncher.submit, SqliteStore.claim_attempt

    async def submit_twice(self: LocalLauncher, run: Run) -> None:
        await submit(self, run)
        await submit(self, replace(run, name=f"{run.name}-again"))

    async def grant(self: SqliteStore, attempt_id: str, run_uid: str) -> Claim:
        answer = await claim(self, attempt_id, run_uid)
        if answer.attempt is not None and answer.attempt.fence is not None:
            answer = replace(answer, granted=True)
        return answer

    LocalLauncher.submit, SqliteStore.claim_attempt = submit_twice, grant


def _runs_stay() -> None:
    """What is over is never removed."""

    async def leave(self: LocalLauncher, name: str) -> None:
        del self, name

    LocalLauncher.cleanup = leave


class Plant(NamedTuple):
    """A bug, the kind of moment at which a kill brings it out, and what the checker says of it."""

    install: Callable[[], None]
    killed_at: str
    seen_as: str


PLANTS = {
    "runs doubled": Plant(_runs_doubled, "random", "was run by"),
    "acknowledged early": Plant(_acknowledged_early, "answer", "is lost"),
    "delivered first": Plant(_delivered_first, "webhook", "never told of its end"),
    "runs stay": Plant(_runs_stay, "random", "left behind"),
}
