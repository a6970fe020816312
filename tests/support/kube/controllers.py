"""What the controllers of workloads have in common: level-triggered, each workload is looked at again and again."""

import asyncio
from abc import ABC, abstractmethod
from typing import ClassVar

from support.kube.objects import Object
from support.kube.server import KubeApi

INDEX = "batch.kubernetes.io/job-completion-index"


class Controller(ABC):
    """Looks until it is closed."""

    def __init__(self) -> None:
        self._loop = asyncio.create_task(self._run())

    async def close(self) -> None:
        self._loop.cancel()
        await asyncio.gather(self._loop, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            await self._look()

    @abstractmethod
    async def _look(self) -> None:
        """At every workload once; returns when it is time for the next look."""


class MemoryController(Controller):
    """Of an API server in memory: looks after every change."""

    path: ClassVar[str]
    """Of its workloads; `{}` is the namespace."""
    speaker: ClassVar[str]
    """Who speaks in its conditions."""

    def __init__(self, api: KubeApi, namespace: str = "default") -> None:
        self._objects = api.objects
        self._jobs = self.path.format(namespace)
        self._pods = f"/api/v1/namespaces/{namespace}/pods"
        super().__init__()

    async def _look(self) -> None:
        changed = self._objects.changed
        for job in list(self._objects.of(self._jobs)):
            self._reconcile(job)
        await changed.wait()

    @abstractmethod
    def _reconcile(self, job: Object) -> None: ...

    def _pods_of(self, job: Object) -> list[Object]:
        uid = job["metadata"]["uid"]
        return [
            pod
            for pod in self._objects.of(self._pods)
            if any(ref["uid"] == uid for ref in pod["metadata"].get("ownerReferences", ()))
        ]

    def _set(self, job: Object, old: list[Object], kind: str, status: str, reason: str) -> None:
        """A condition, unless it stands already."""
        if any((one["type"], one["status"]) == (kind, status) for one in old):
            return
        now = self._objects.now().isoformat(timespec="seconds")
        new = {"type": kind, "status": status, "reason": reason, "message": f"{self.speaker}: {reason}", "lastTransitionTime": now}  # fmt: skip
        kept = [one for one in old if one["type"] != kind]
        self._objects.update(self._jobs, job["metadata"]["name"], {"status": {"conditions": [*kept, new]}})  # fmt: skip
