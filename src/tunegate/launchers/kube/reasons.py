"""Why a run has no pods yet: what controllers say in events, and Kueue of its queue."""

import asyncio
from typing import Any

import msgspec

from tunegate.launchers.kube.client import KubeClient
from tunegate.launchers.kube.errors import ApiError
from tunegate.launchers.kube.objects import Condition, Happening, Meta, Read, Thing, condition
from tunegate.launchers.kube.run_states import Workload
from tunegate.sdk.clock import Clock
from tunegate.sdk.launcher import EngineUnavailable

AGAIN_S = 10.0
"""So often one run is asked about at most: these are words for people."""
KUEUE = "/apis/kueue.x-k8s.io/v1beta1"
VISIBILITY = "/apis/visibility.kueue.x-k8s.io/v1beta1"
JOB_UID = "kueue.x-k8s.io/job-uid"
WARNING = "Warning"


class _Status(Read):
    conditions: list[Condition] | None = None


class Queued(Thing):
    """Kueue's `Workload`, which it makes for a workload of the cluster's."""

    status: _Status = _Status()


class Waiting(Read):
    """One of Kueue's `pendingworkloads`."""

    metadata: Meta = Meta()
    position_in_local_queue: int = 0


class Summary(Read):
    items: list[Waiting] = []


class Reasons:
    """A sentence is remembered for a while. Whoever may not read events or Kueue's objects gets none."""

    def __init__(self, client: KubeClient, namespace: str, kind: str, clock: Clock) -> None:
        self._client = client
        self._namespace = namespace
        self._kind = kind
        self._clock = clock
        self._known: dict[str, tuple[float, str | None]] = {}

    async def of(self, workload: Meta, said: Workload) -> str | None:
        """Why it has no pods; None where nothing is known beyond what the workload says."""
        now_s = self._clock.monotonic_s()
        self._known = {uid: one for uid, one in self._known.items() if now_s - one[0] < AGAIN_S}
        if workload.uid not in self._known:
            look = self._of_queue if said.suspended else self._of_events
            try:
                found = await look(workload, said)
            except (ApiError, EngineUnavailable, msgspec.MsgspecError):
                found = None
            self._known[workload.uid] = (now_s, found)
        return self._known[workload.uid][1]

    async def _of_events(self, workload: Meta, said: Workload) -> str | None:
        """The controller's last complaint: a quota, an admission that refuses."""
        del said
        chosen = f"involvedObject.kind={self._kind},involvedObject.name={workload.name},involvedObject.uid={workload.uid}"
        path = f"/api/v1/namespaces/{self._namespace}/events"
        events = (await self._client.list(path, Happening, fieldSelector=chosen)).items
        complaints = [one for one in events if one.type == WARNING]
        if not complaints:
            return None
        last = max(complaints, key=lambda one: str(one.last_timestamp))
        return f"its pods can't be made: {' '.join(last.message.split())[:400]}"

    async def _of_queue(self, workload: Meta, said: Workload) -> str | None:
        if said.queue is None:
            return None
        path = f"{KUEUE}/namespaces/{self._namespace}/workloads"
        listing, place = await asyncio.gather(
            self._client.list(path, Queued, labelSelector=f"{JOB_UID}={workload.uid}"),
            self._place(workload, said.queue),
        )
        reserved = [condition(one.status.conditions, "QuotaReserved") for one in listing.items]
        words = [" ".join(one.message.split())[:400] for one in reserved if one and one.message]
        where = f"it waits in the queue {said.queue}" + (
            "" if place is None else f" at place {place}"
        )
        return f"{where}: {words[0]}" if words else where

    async def _place(self, workload: Meta, queue: str) -> int | None:
        """Counted from 1; Kueue serves it where its visibility API is on."""
        path = f"{VISIBILITY}/namespaces/{self._namespace}/localqueues/{queue}/pendingworkloads"
        try:
            summary: Any = await self._client.get(path, Summary)
        except (ApiError, EngineUnavailable, msgspec.MsgspecError):
            return None
        for one in summary.items if summary is not None else ():
            if any(owner.uid == workload.uid for owner in one.metadata.owner_references or ()):
                return one.position_in_local_queue + 1
        return None
