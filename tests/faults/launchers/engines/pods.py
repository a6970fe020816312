"""The nodes of a cluster in memory: pods become `Process`es, and end slowly."""

import asyncio
import base64
import contextvars
from collections.abc import Coroutine
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from faults.launchers.engine import Ground
from faults.launchers.process import Process
from support.kube.objects import Key, Object, Objects
from support.kube.server import KubeApi

NODE_LOST = {"type": "DisruptionTarget", "status": "True", "reason": "DeletionByTaintManager"}
SAID = b"the trainer said this\n"


class Nodes:
    """Schedules after a while, honours grace, and lets go of a pod some time after its end."""

    def __init__(self, api: KubeApi, ground: Ground) -> None:
        self._objects: Objects = api.objects
        self._ground = ground
        self._processes: dict[Key, Process] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._seen: set[str] = set()
        self._log = ground.folder / "pod.log"
        self._log.write_bytes(SAID)
        api.log_of = self._log_of
        api.objects.now = lambda: datetime.fromtimestamp(ground.clock.now_ms() / 1000, UTC)
        api.objects.on_pod_deleted = self._deleted
        self._spawn(self._run())

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            changed = self._objects.changed
            for key, one in list(self._objects.all.items()):
                uid = one["metadata"]["uid"]
                if uid in self._seen:
                    continue
                self._seen.add(uid)
                self._spawn(self._live(key) if key[0].endswith("/pods") else self._collect(key))
            await changed.wait()

    async def _collect(self, key: Key) -> None:
        """The cluster's own garbage: an object whose owner is gone, or never was by the time it came."""
        await asyncio.sleep(self._ground.weather.between(1, 30))
        one = self._objects.all.get(key)
        owners = one["metadata"].get("ownerReferences", ()) if one is not None else ()
        uids = {other["metadata"]["uid"] for other in self._objects.all.values()}
        if owners and not any(owner["uid"] in uids for owner in owners):
            self._objects.delete(key)

    async def _live(self, key: Key) -> None:
        weather = self._ground.weather
        await asyncio.sleep(weather.between(0.1, 6))
        pod = self._objects.all.get(key)
        if pod is None:
            return
        if "deletionTimestamp" in pod["metadata"]:
            self._objects.remove(key)
            return
        self._objects.update(*key, {"spec": {"nodeName": "node-1"}})
        files = self._files(key[0], pod)
        while files is None:  # its volumes can't be mounted yet
            await asyncio.sleep(1.0)
            if key not in self._objects.all:
                return
            if "deletionTimestamp" in self._objects.all[key]["metadata"]:
                self._objects.remove(key)
                return
            files = self._files(key[0], pod)
        process = self._processes[key] = Process(self._ground.program, files)
        name = pod["spec"]["containers"][0]["name"]
        self._say(key, {"running": {}}, name, phase="Running")
        code = await process.wait()
        del self._processes[key]
        lost = {"conditions": [NODE_LOST | {"message": "node-1 is gone"}]} if process.lost else {}
        ended = {"terminated": {"exitCode": code, "reason": "Error" if code else "Completed"}}
        self._say(key, ended, name, phase="Failed" if code else "Succeeded", **lost)
        if "deletionTimestamp" in self._objects.all[key]["metadata"]:
            await self._let_go(key)

    def _say(self, key: Key, state: Object, container: str, **status: object) -> None:
        told = {"name": container, "ready": "running" in state, "restartCount": 0, "state": state}
        self._objects.update(*key, {"status": {"containerStatuses": [told], **status}})

    def _deleted(self, key: Key, pod: Object) -> None:
        process = self._processes.get(key)
        if process is None:
            if pod["status"].get("phase") in ("Failed", "Succeeded"):
                self._spawn(self._let_go(key))
            return  # one that has not begun is dropped when its turn comes
        process.term()
        end_s = datetime.fromisoformat(pod["metadata"]["deletionTimestamp"]).timestamp()
        self._spawn(self._kill(process, end_s - self._ground.clock.now_ms() / 1000))

    async def _kill(self, process: Process, in_s: float) -> None:
        await asyncio.sleep(max(0.0, in_s))
        process.kill()

    async def _let_go(self, key: Key) -> None:
        """Its name is taken a while longer."""
        await asyncio.sleep(self._ground.weather.between(0, 20))
        if key in self._objects.all:
            self._objects.remove(key)

    def _files(self, path: str, pod: Object) -> dict[str, bytes] | None:
        """What the projected volume of the run's folder holds."""
        space, found = path.removesuffix("/pods"), dict[str, bytes]()
        (volume,) = (one for one in pod["spec"]["volumes"] if "projected" in one)
        for source in volume["projected"]["sources"]:
            kind, plural = ("configMap", "configmaps") if "configMap" in source else ("secret", "secrets")  # fmt: skip
            holder = self._objects.all.get((f"{space}/{plural}", source[kind]["name"]))
            if holder is None:
                return None
            for item in source[kind]["items"]:
                text = holder["data"][item["key"]]
                found[item["path"]] = base64.b64decode(text) if kind == "secret" else text.encode()
        return found

    def _log_of(self, pod: str) -> Path | None:
        begun = any(
            key[1] == pod and one["status"].get("phase") not in (None, "Pending")
            for key, one in self._objects.all.items()
            if key[0].endswith("/pods")
        )
        return self._log if begun else None

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work, context=contextvars.Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
