"""Runs the pods of an API server in memory as processes of this machine."""

import asyncio
import base64
import os
import signal
import sys
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from support.kube.objects import Key, Object, Objects
from support.kube.server import KubeApi

CAPACITY = 4
LAG_S = 0.3
"""From the start of a container until the API server hears of it: a real one looks once in a second."""
FULL = "0/1 nodes are available: 1 Insufficient cpu."


class Kubelet:
    """One node. Pods that find no room wait; those that are deleted get SIGTERM and their grace."""

    def __init__(self, api: KubeApi, folder: Path) -> None:
        self._api = api
        self._folder = folder
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._processes: dict[str, asyncio.subprocess.Process] = {}
        self._kills: list[asyncio.Task[None]] = []
        api.log_of = self._log_of
        api.is_over = lambda pod: pod not in self._processes
        api.objects.on_pod_deleted = self._deleted
        self._loop = asyncio.create_task(self._run())

    async def close(self) -> None:
        tasks = [self._loop, *self._tasks.values(), *self._kills]
        for process in self._processes.values():
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    @property
    def objects(self) -> Objects:
        return self._api.objects

    async def _run(self) -> None:
        while True:
            changed = self.objects.changed
            for key, pod in sorted(self.objects.all.items()):
                if key[0].endswith("/pods") and key[1] not in self._tasks:
                    self._schedule(key, pod)
            await changed.wait()

    def _schedule(self, key: Key, pod: Object) -> None:
        if pod["status"].get("phase") not in (None, "Pending"):
            return
        used = sum(_cpus(self.objects.all[key[0], name]) for name in self._processes_of(key[0]))
        if used + _cpus(pod) > CAPACITY:
            if "conditions" not in pod["status"]:
                self._say(key, phase="Pending", conditions=[_condition("PodScheduled", "False", "Unschedulable", FULL)])  # fmt: skip
            return
        self._tasks[key[1]] = asyncio.create_task(self._live(key, pod))

    def _processes_of(self, path: str) -> list[str]:
        return [name for name in self._tasks if (path, name) in self.objects.all]

    async def _live(self, key: Key, pod: Object) -> None:
        self.objects.update(*key, {"spec": {"nodeName": "node-1"}})
        container = pod["spec"]["containers"][0]
        files = self._folder / key[1]
        self._lay(key[0], pod, files)
        argv = [_here(part, files) for part in container["command"]]
        argv[0] = sys.executable if argv[0] == "python" else argv[0]
        env = {one["name"]: _here(_value(one, pod), files) for one in container.get("env", ())}
        with (files / "log").open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                *argv, env={**env, "PATH": os.environ["PATH"]}, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip
        self._processes[key[1]] = process
        await asyncio.sleep(LAG_S)
        state = {"running": {"startedAt": _now()}}
        self._say(key, phase="Running", conditions=[_condition("PodScheduled", "True"), _condition("Ready", "True")], containerStatuses=[_container(container["name"], state)])  # fmt: skip
        if "deletionTimestamp" in self.objects.all[key]["metadata"]:
            self._deleted(key, self.objects.all[key])
        code = await process.wait()
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        code = 128 - code if code < 0 else code
        del self._processes[key[1]]
        ended = {"terminated": {"exitCode": code, "reason": "Error" if code else "Completed"}}
        self._say(key, phase="Failed" if code else "Succeeded", containerStatuses=[_container(container["name"], ended)])  # fmt: skip
        del self._tasks[key[1]]
        if "deletionTimestamp" in self.objects.all[key]["metadata"]:
            self.objects.remove(key)

    def _say(self, key: Key, **status: object) -> None:
        self.objects.update(*key, {"status": status})

    def _deleted(self, key: Key, pod: Object) -> None:
        process = self._processes.get(key[1])
        if process is None:
            if key[1] not in self._tasks:
                self.objects.remove(key)
            return
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        end = datetime.fromisoformat(pod["metadata"]["deletionTimestamp"]).timestamp()
        self._kills.append(asyncio.create_task(self._kill(process, end)))

    async def _kill(self, process: asyncio.subprocess.Process, end_s: float) -> None:
        await asyncio.sleep(max(0.0, end_s - time.time()))
        if process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)

    def _log_of(self, pod: str) -> Path | None:
        file = self._folder / pod / "log"
        return file if file.exists() else None

    def _lay(self, path: str, pod: Object, folder: Path) -> None:
        """The projected volume of the run's folder."""
        (folder / "work").mkdir(parents=True)
        (folder / "files").mkdir()
        space = path.removesuffix("/pods")
        (volume,) = (one for one in pod["spec"]["volumes"] if "projected" in one)
        for source in volume["projected"]["sources"]:
            kind, plural = ("configMap", "configmaps") if "configMap" in source else ("secret", "secrets")  # fmt: skip
            data = self.objects.all[f"{space}/{plural}", source[kind]["name"]]["data"]
            for item in source[kind]["items"]:
                text = data[item["key"]]
                content = base64.b64decode(text) if kind == "secret" else text.encode()
                (folder / "files" / item["path"]).parent.mkdir(parents=True, exist_ok=True)
                (folder / "files" / item["path"]).write_bytes(content)


def _cpus(pod: Object) -> int:
    return int(pod["spec"]["containers"][0]["resources"]["requests"]["cpu"])


def _here(text: str, folder: Path) -> str:
    """The paths of the pod's volumes as they are on this machine."""
    return text.replace("/tunegate/files", str(folder / "files")).replace(
        "/tunegate/work", str(folder / "work")
    )


def _value(variable: Object, pod: Object) -> str:
    if "value" in variable:
        return variable["value"]
    path: str = variable["valueFrom"]["fieldRef"]["fieldPath"]
    return pod["metadata"]["annotations"][path.split("'")[1]]


def _container(name: str, state: Object) -> Object:
    return {"name": name, "ready": "running" in state, "restartCount": 0, "state": state}


def _condition(kind: str, status: str, reason: str = "", message: str = "") -> Object:
    return {"type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": _now()}  # fmt: skip


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
