"""Whose job is launched next: tenants take turns by what they hold, and within a tenant the oldest comes first. Pure."""

import heapq
from collections.abc import Mapping, Sequence
from typing import NamedTuple

COUNTED = 1000
"""A place in the queue that is further behind is given as this one."""


class Waiting(NamedTuple):
    """A job in the queue. `since` orders the jobs of a tenant; `limit` is of GPUs that its tenant may hold."""

    uid: str
    gpus: int
    limit: int | None
    since: tuple[int, int]


class Holding(NamedTuple):
    """What a tenant's running jobs hold."""

    gpus: int = 0
    jobs: int = 0


def choose(
    holding: Mapping[str, Holding], queues: Mapping[str, Sequence[Waiting]], room: int
) -> list[str]:
    """The uids of the next `room` jobs. `queues` are the tenants' oldest jobs, in order.

    The tenant that holds the fewest GPUs is next, then the one with the fewest jobs, then the one that waits longest. A job
    that its tenant's limit holds back holds back those behind it too: small jobs must not keep a large one waiting for ever.
    """
    held = {tenant: holding.get(tenant, Holding()) for tenant in queues}
    turns = [
        (*held[tenant], queue[0].since, tenant, 0) for tenant, queue in queues.items() if queue
    ]
    heapq.heapify(turns)
    chosen: list[str] = []
    while turns and len(chosen) < room:
        gpus, jobs, _, tenant, index = heapq.heappop(turns)
        queue = queues[tenant]
        job = queue[index]
        if job.limit is not None and job.gpus and gpus + job.gpus > job.limit:
            continue
        chosen.append(job.uid)
        if index + 1 < len(queue):
            following = queue[index + 1].since
            heapq.heappush(turns, (gpus + job.gpus, jobs + 1, following, tenant, index + 1))
    return chosen


def holding_after(
    holding: Mapping[str, Holding], queues: Mapping[str, Sequence[Waiting]], chosen: Sequence[str]
) -> dict[str, Holding]:
    """What the tenants hold once the chosen jobs run."""
    uids = set(chosen)
    after = dict(holding)
    for tenant, queue in queues.items():
        gpus, jobs = after.get(tenant, Holding())
        started = [job.gpus for job in queue if job.uid in uids]
        after[tenant] = Holding(gpus + sum(started), jobs + len(started))
    return after
