"""Bugs to plant: each breaks one promise of the product, and the checker must see it."""

from typing import Any
from unittest import mock

import msgspec

from faults.lifecycles.replica import OWNER
from faults.lifecycles.world import World
from tunegate.control import looking
from tunegate.control.held import Held
from tunegate.control.records import AttemptRecord
from tunegate.control.store.protocol import Change, Claim
from tunegate.control.store.sql import guards, outbox, sealed
from tunegate.sdk.launcher import FINISHED, RunState, RunStatus


def claim_fence_off(world: World) -> None:
    """Every run that asks is given the attempt."""
    real = world.store.claim_attempt

    async def claim(attempt_id: str, run_uid: str) -> Claim:
        answer = await real(attempt_id, run_uid)
        if answer.granted:
            return answer
        attempt = await world.store.find_attempt(attempt_id)
        if attempt is None or attempt.fence is None:
            return answer
        job = await world.store.get_by_uid(attempt.uid)
        return Claim(granted=True, job=job, attempt=attempt)

    world.store.claim_attempt = claim  # type: ignore[method-assign]


def guards_off(world: World) -> None:
    """Whoever writes last is right, frozen or not."""
    real = world.store.apply

    async def apply(change: Change) -> Any:
        job = await world.store.get_by_uid(change.uid)
        version = job.version if job is not None else change.version
        return await real(msgspec.structs.replace(change, version=version, epoch=None))

    world.store.apply = apply  # type: ignore[method-assign]
    world.patches.append(mock.patch.object(guards, "allows", return_value=True))
    world.patches.append(mock.patch.object(Held, "may_act", return_value=True))


def no_order_of_webhooks(world: World) -> None:
    """Each may leave as soon as it is written."""
    start, end = (
        outbox._ENQUEUE.index("CASE WHEN EXISTS"),
        outbox._ENQUEUE.index("THEN 0 ELSE 1 END"),
    )
    sql = outbox._ENQUEUE[:start] + "1" + outbox._ENQUEUE[end + len("THEN 0 ELSE 1 END") :]
    world.patches.append(mock.patch.object(outbox, "_ENQUEUE", sql))


def old_sightings(world: World) -> None:
    """Each gateway goes by what it saw of a run long ago, whatever others have seen since."""
    seen: dict[tuple[str, str], int] = {}

    def sighted(attempt: AttemptRecord, run: RunStatus, now_ms: int) -> dict[str, int | None]:
        who = OWNER.get()
        over = run.state in FINISHED or run.state is RunState.ABSENT
        since_ms = seen.setdefault((who.name if who else "", run.name), now_ms) if over else None
        field = "absent_since_ms" if run.state is RunState.ABSENT else "ended_since_ms"
        return {"absent_since_ms": None, "ended_since_ms": None, field: since_ms}

    world.patches.append(mock.patch.object(looking, "sighted", sighted))


def secrets_stay(world: World) -> None:
    """Nothing sealed is ever removed."""
    world.patches.append(mock.patch.object(sealed, "destroy", return_value=()))


def runs_stay(world: World) -> None:
    """The engine's objects are never removed."""

    async def cleanup(_name: str) -> None:
        pass

    world.engine.cleanup = cleanup  # type: ignore[method-assign]


PLANTS = {
    "runs won the claim": claim_fence_off,
    "went on after its end": guards_off,
    "and was given up": old_sightings,
    "out of order": no_order_of_webhooks,
    "secrets are left": secrets_stay,
    "left in the engine": runs_stay,
}
"""What the checker says of each."""
