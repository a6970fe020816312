"""The jobs that this process has leased, and until when it may act on them."""

from collections.abc import Collection

from tunegate.control.records import JobRecord


class Held:
    """A process that was frozen finds its leases run out here, before it calls an engine for a job of somebody else's."""

    def __init__(self) -> None:
        self._until_ms: dict[str, int] = {}

    def uids(self) -> list[str]:
        return list(self._until_ms)

    def take(self, job: JobRecord) -> None:
        self._until_ms[job.uid] = job.lease_until_ms

    def drop(self, uid: str) -> None:
        self._until_ms.pop(uid, None)

    def renewed(self, asked: Collection[str], kept: Collection[str], until_ms: int) -> None:
        """Of the leases that were asked for, those in `kept` go on; the others are another process's by now."""
        for uid in asked:
            if uid in self._until_ms:
                self._until_ms[uid] = until_ms if uid in kept else 0

    def may_act(self, uid: str, now_ms: int) -> bool:
        return now_ms < self._until_ms.get(uid, 0)
