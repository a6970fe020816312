"""The queue of jobs that wait to be launched: what of it an engine gets next, and where a job stands in it."""

from collections.abc import Mapping
from typing import Any

from tunegate.control.fair import COUNTED, Holding, Waiting, choose, holding_after
from tunegate.control.records import FINAL
from tunegate.control.store.sql.jobs import ONE_AT_A_TIME
from tunegate.control.store.sql.statement import Transaction, Work, ask, ask_one

TENANTS_AT_ONCE = 64
"""Of more tenants that wait, those that hold least are looked at."""
_ENDED = ", ".join(f"'{state}'" for state in sorted(FINAL))

_TAKEN = """
SELECT (SELECT count(*) FROM job WHERE launcher = :launcher AND state IN ('launching', 'pending'))
    + (SELECT count(*) FROM job INDEXED BY job_queue_leased
        WHERE launcher = :launcher AND queued = 1 AND lease_until_ms > :now_ms)
"""
"""Runs that wait in the engine, and jobs about to be launched: somebody has leased them."""

_TENANTS = """
WITH RECURSIVE t(tenant) AS (
    SELECT min(tenant) FROM job WHERE queued = 1 AND launcher = :launcher
    UNION ALL
    SELECT (SELECT min(job.tenant) FROM job
        WHERE queued = 1 AND launcher = :launcher AND job.tenant > t.tenant)
    FROM t WHERE t.tenant IS NOT NULL
)
SELECT tenant FROM t WHERE tenant IS NOT NULL
"""
"""From one to the next along the index: the queue may be long and its tenants few."""

_HELD = f"""
SELECT tenant, sum(gpus), count(*) FROM (
    SELECT tenant, gpus FROM job INDEXED BY job_held
    WHERE queued = 0 AND state NOT IN ({_ENDED})
    UNION ALL
    SELECT tenant, gpus FROM job INDEXED BY job_queue_leased
    WHERE queued = 1 AND lease_until_ms > :now_ms
) AS held GROUP BY tenant
"""  # noqa: S608 - constants

_OLDEST = """
SELECT uid, gpus, gpu_limit, due_ms, number FROM job
WHERE queued = 1 AND launcher = :launcher AND tenant = :tenant
    AND due_ms <= :now_ms AND lease_until_ms <= :now_ms
ORDER BY due_ms, number LIMIT :limit
"""

_MINE = "SELECT launcher, tenant, due_ms, number FROM job WHERE uid = :uid AND queued = 1"
_AHEAD = """
SELECT count(*) FROM (SELECT 1 FROM job
    WHERE queued = 1 AND launcher = :launcher AND tenant = :tenant
        AND (due_ms, number) < (:due_ms, :number) LIMIT :most) AS ahead
"""
_OF_TENANT = """
SELECT count(*) FROM (SELECT 1 FROM job
    WHERE queued = 1 AND launcher = :launcher AND tenant = :tenant LIMIT :most) AS theirs
"""


def next_jobs(tx: Transaction, room: Mapping[str, int], limit: int) -> Work[list[str]]:
    """The uids of jobs to be launched now: `room` says how many runs may wait in each engine."""
    tenants: dict[str, list[str]] = {}
    for launcher in room:
        rows = yield from ask(_TENANTS, launcher=launcher)
        if rows:
            tenants[launcher] = [row[0] for row in rows]
    if not tenants or limit <= 0:
        return []
    yield from ask(ONE_AT_A_TIME)  # two that fill the same room at once would overfill it
    held: Mapping[str, Holding] = yield from _holding(tx.now_ms)
    chosen: list[str] = []
    for launcher, waiting in tenants.items():
        [(taken,)] = yield from ask(_TAKEN, launcher=launcher, now_ms=tx.now_ms)
        left = min(limit - len(chosen), room[launcher] - int(taken))
        if left > 0:
            queues = yield from _queues(launcher, waiting, held, left, tx.now_ms)
            taken_now = choose(held, queues, left)
            held = holding_after(held, queues, taken_now)
            chosen += taken_now
    return chosen


def place(uid: str) -> Work[int | None]:
    """How many are about to be launched before this one, tenants taking turns; None: it does not wait."""
    row = yield from ask_one(_MINE, uid=uid)
    if row is None:
        return None
    launcher, tenant, due_ms, number = row
    mine = yield from ask(
        _AHEAD,
        launcher=launcher,
        tenant=tenant,
        due_ms=due_ms,
        number=number,
        most=COUNTED,
    )
    ahead = own = int(mine[0][0])
    tenants = yield from ask(_TENANTS, launcher=launcher)
    for other in [row[0] for row in tenants if row[0] != tenant][:TENANTS_AT_ONCE]:
        [(theirs,)] = yield from ask(_OF_TENANT, launcher=launcher, tenant=other, most=own + 1)
        ahead += int(theirs)
    return min(ahead, COUNTED)


def held_by(tenant: str, now_ms: int) -> Work[Holding]:
    """What the tenant's running jobs hold."""
    return (yield from _holding(now_ms)).get(tenant, Holding())


def _holding(now_ms: int) -> Work[dict[str, Holding]]:
    rows = yield from ask(_HELD, now_ms=now_ms)
    return {tenant: Holding(int(gpus), int(jobs)) for tenant, gpus, jobs in rows}


def _queues(
    launcher: str, tenants: list[str], held: Mapping[str, Holding], most: int, now_ms: int
) -> Work[dict[str, list[Waiting]]]:
    queues: dict[str, list[Waiting]] = {}
    for tenant in sorted(tenants, key=lambda name: held.get(name, Holding()))[:TENANTS_AT_ONCE]:
        values: dict[str, Any] = {"launcher": launcher, "tenant": tenant, "now_ms": now_ms}
        rows = yield from ask(_OLDEST, **values, limit=most)
        if rows:
            queues[tenant] = [
                Waiting(uid, int(gpus), None if limit is None else int(limit), (due_ms, number))
                for uid, gpus, limit, due_ms, number in rows
            ]
    return queues
