"""`PodLauncher`: a run is one workload of a cluster, and a ConfigMap that is there before it and after it."""

import asyncio
import math
from abc import abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import msgspec

from tunegate.contract.container import ContainerSpec
from tunegate.contract.problems import Ignored, Problem
from tunegate.launchers.kube.client import KubeClient, Propagation
from tunegate.launchers.kube.errors import ApiError
from tunegate.launchers.kube.files import config_map, owner, secret
from tunegate.launchers.kube.logs import LogKeeper, pod_log, read_file
from tunegate.launchers.kube.mirror import Mirror
from tunegate.launchers.kube.names import (
    CONTAINER,
    IDENTITY,
    LAUNCHER,
    RUN,
    STOP,
    check_name,
    identity,
    run_labels,
    selector,
)
from tunegate.launchers.kube.objects import Pod, Thing
from tunegate.launchers.kube.options import PodOptions
from tunegate.launchers.kube.pod_states import PodWord, index_of, read_pod
from tunegate.launchers.kube.reasons import Reasons
from tunegate.launchers.kube.review import pod_options, review_pod
from tunegate.launchers.kube.run_states import Workload, read_run
from tunegate.launchers.kube.settings import KubeSettings
from tunegate.sdk.launcher import (
    FINISHED,
    OVER,
    Capabilities,
    EngineUnavailable,
    Launcher,
    LauncherContext,
    LaunchRefused,
    NativeRequest,
    Run,
    RunState,
    RunStatus,
)

T = TypeVar("T", bound=Thing)
W = TypeVar("W", bound=Thing)
P = TypeVar("P", bound=Thing)
S = TypeVar("S", bound=KubeSettings)
NODES = "tunegate.io/nodes"
"""Annotation of the record: how many pods belong to the run."""
LOOK_AGAIN_S = 0.5


class PodLauncher(Launcher, Generic[S, W, P]):
    """The ConfigMap is the run's record: what it owns goes with it, and what was asked to stop is noted on it.

    So a run may be stopped by the removal of its workload, which works whoever else (Kueue) suspends and resumes it.
    A subclass says what a workload is (`W`, and its pods `P`): how it is made and how it is read.
    """

    options_type = PodOptions
    kind: ClassVar[str]
    """Of the workload: `Job`."""
    api: ClassVar[str]
    """Its group and version, as in a path: `batch/v1`."""
    plural: ClassVar[str]
    missing: ClassVar[str] = "the cluster knows no such namespace"
    """Said where the API server does not know the workload's path."""
    container: ClassVar[str] = CONTAINER
    """The trainer's, in its pods."""
    propagation: ClassVar[Propagation] = "Foreground"
    """How a workload is deleted. `Background` where its controller would make its pods anew for as long as it is there."""
    workload_type: ClassVar[type[Thing]]
    pod_type: ClassVar[type[Thing]] = Pod

    def __init__(self, settings: S, context: LauncherContext) -> None:
        self._settings = settings
        self._clock = context.clock
        self._client = KubeClient(settings)
        namespace = settings.namespace
        core = f"/api/v1/namespaces/{namespace}"
        self._maps, self._secrets = f"{core}/configmaps", f"{core}/secrets"
        self._services, self._pod_path = f"{core}/services", f"{core}/pods"
        self._workloads = f"/apis/{self.api}/namespaces/{namespace}/{self.plural}"
        self._records: Mirror[Thing] = self._mirror(self._maps, Thing)
        self._jobs: Mirror[W] = self._mirror(self._workloads, self.workload_type)
        self._pods: Mirror[P] = self._mirror(self._pod_path, self.pod_type, remember=True)
        self._reasons = Reasons(self._client, namespace, self.kind, self._clock)
        self._kept = LogKeeper(Path(context.state_dir) / f"{self.name}-logs")

    @abstractmethod
    def manifest(
        self, run: Run, options: PodOptions, owners: Sequence[Mapping[str, Any]]
    ) -> dict[str, Any]:
        """The workload. Pure."""

    @abstractmethod
    def workload(self, found: W) -> Workload:
        """What the workload says of itself. Pure."""

    def as_pod(self, pod: P) -> Pod:
        """A pod as `read_pod` takes it. Pure."""
        return pod  # pyright: ignore[reportReturnType]  unless a subclass names another type, P is Pod

    def service(self, run: Run) -> dict[str, Any] | None:
        """The service by which its nodes find one another, where the workload brings none. Pure."""
        del run
        return None

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(multi_node=True, gpus=self._settings.gpus_per_node)

    def review(
        self, container: ContainerSpec, options: dict[str, Any]
    ) -> tuple[list[Problem], list[Ignored]]:
        return review_pod(container, pod_options(options), self._settings)

    def render(self, run: Run) -> NativeRequest:
        body = {
            self.kind.lower(): self.manifest(run, pod_options(run.options), ()),
            "configmap": self._record_of(run),
        }
        service = self.service(run)
        return NativeRequest(
            kind=self.kind, body=body if service is None else {**body, "service": service}
        )

    async def close(self) -> None:
        for mirror in (self._records, self._jobs, self._pods):
            await mirror.close()
        await self._kept.close()
        await self._client.close()

    async def submit(self, run: Run) -> None:
        check_name(run.name)
        problems, _ = self.review(run.container, run.options)
        if problems:
            raise LaunchRefused(problems[0].message)
        record = await self._ensure(self._maps, self._record_of(run), run, Thing)
        self._records.put(record)
        if STOP in (record.metadata.annotations or {}):
            return
        owners = [owner("ConfigMap", "v1", run.name, record.metadata.uid)]
        await self._hide(self._ours(secret(run, self._settings, owners), run))
        service = self.service(run)
        if service is not None:
            service["metadata"]["ownerReferences"] = owners
            await self._ensure(self._services, service, run, Thing)
        manifest = self.manifest(run, pod_options(run.options), owners)
        self._jobs.put(await self._ensure(self._workloads, manifest, run, self._workload_type()))

    async def poll(self, names: Sequence[str]) -> dict[str, RunStatus]:
        if not names:
            return {}
        await self._look()
        unseen = [name for name in names if name not in self._jobs.items]
        await asyncio.gather(*(self._look_up(name) for name in unseen))
        pods = self._words()
        return {name: await self._status(name, pods.get(name, [])) for name in names}

    async def cancel(self, name: str, grace_s: float) -> None:
        record = await self._get(f"{self._maps}/{name}", Thing)
        if record is None or record.metadata.deletion_timestamp is not None:
            return
        if STOP not in (record.metadata.annotations or {}):
            status = (await self.poll([name]))[name]
            if status.state in FINISHED:
                return
            note = {"metadata": {"annotations": {STOP: str(self._clock.now_ms())}}}
            await self._do(self._client.patch(f"{self._maps}/{name}", note))
        await self._keep_log(name)
        await self._remove_workload(name)
        for pod in self._pods_of(name):
            if self.propagation == "Background" and pod.metadata.deletion_timestamp is None:
                continue  # it goes with its owners, which would replace it if it went before them
            path = f"{self._pod_path}/{pod.metadata.name}"
            await self._do(self._client.delete(path, grace_s=max(1, math.ceil(grace_s))))
        await self._records.sync()

    async def cleanup(self, name: str) -> None:
        await self._remove_workload(name)
        await self._do(self._client.delete(f"{self._maps}/{name}", propagation="Foreground"))
        for pod in [one for one, last in self._pods.departed.items() if _run_of(last) == name]:
            self._pods.forget(pod)
        await self._kept.remove(name)
        await asyncio.gather(self._records.sync(), self._jobs.sync())

    async def list_runs(self) -> list[str]:
        await self._look()
        with_pods = map(_run_of, self._pods.items.values())
        return sorted({*self._records.items, *self._jobs.items, *with_pods})

    async def logs(self, name: str, *, follow: bool, offset: int = 0) -> AsyncIterator[bytes]:
        pod = await self._speaker(name, wait=follow)
        if self._kept.is_kept(name):
            await self._kept.wait(name)
            async for chunk in read_file(self._kept.path(name), offset):
                yield chunk
        elif pod is not None:
            async for chunk in self._log(pod, follow=follow, offset=offset):
                yield chunk

    def _log(self, pod: P, *, follow: bool, offset: int = 0) -> AsyncIterator[bytes]:
        return pod_log(
            self._client, self._settings.namespace, pod.metadata.name,
            follow=follow, offset=offset, container=self.container,
        )  # fmt: skip

    async def _speaker(self, name: str, *, wait: bool) -> P | None:
        """The pod of the first node, once its container has begun; the first one where it was made anew."""
        while True:
            status = (await self.poll([name]))[name]
            pods = [pod for pod in self._pods_of(name) if index_of(self.as_pod(pod)) == 0]
            pods.sort(key=lambda pod: (str(pod.metadata.creation_timestamp), pod.metadata.name))
            begun = pods and self._read(pods[0]).begun
            if begun or not wait or status.state in OVER:
                return pods[0] if pods else None
            await self._clock.sleep(LOOK_AGAIN_S)

    async def _keep_log(self, name: str) -> None:
        """Whatever its pod is said to be: the cluster hears of a container that has begun a second after the fact."""
        pod = await self._speaker(name, wait=False)
        if pod is not None:

            def read(offset: int, follow: bool) -> AsyncIterator[bytes]:
                return self._log(pod, follow=follow, offset=offset)

            await self._kept.keep(name, read)

    async def _status(self, name: str, pods: Sequence[PodWord]) -> RunStatus:
        record, job = self._records.items.get(name), self._jobs.items.get(name)
        told = (record.metadata.annotations or {}).get(NODES, "1") if record is not None else "1"
        workload = None if job is None else self.workload(job)
        status = read_run(name, record, workload, pods, int(told))
        if workload is not None and workload.report is not None:
            status = msgspec.structs.replace(status, report=workload.report)
        if job is None or workload is None or status.state is not RunState.PENDING or pods:
            return status
        reason = await self._reasons.of(job.metadata, workload)
        return status if reason is None else msgspec.structs.replace(status, reason=reason)

    def _words(self) -> dict[str, list[PodWord]]:
        """What the pods of each run say, and what those said that are gone."""
        words: dict[str, list[PodWord]] = {}
        for deleted, pods in ((False, self._pods.items), (True, self._pods.departed)):
            for pod in pods.values():
                words.setdefault(_run_of(pod), []).append(self._read(pod, deleted=deleted))
        return words

    def _read(self, pod: P, *, deleted: bool = False) -> PodWord:
        now_s = self._clock.now_ms() / 1000
        return read_pod(self.as_pod(pod), now_s, self._settings.start_deadline_s, deleted=deleted)

    def _pods_of(self, name: str) -> list[P]:
        return [pod for pod in self._pods.items.values() if _run_of(pod) == name]

    def _record_of(self, run: Run) -> dict[str, Any]:
        record = self._ours(config_map(run, self._settings, []), run)
        record["metadata"]["annotations"][NODES] = str(run.container.resources.nodes)
        return record

    def _ours(self, manifest: dict[str, Any], run: Run) -> dict[str, Any]:
        manifest["metadata"]["labels"] = run_labels(run, self._settings, self.name)
        return manifest

    async def _look(self) -> None:
        for mirror in (self._pods, self._jobs, self._records):
            await mirror.current()

    async def _look_up(self, name: str) -> None:
        """A watch lags: only the server itself can say that it knows no such run."""
        record = await self._get(f"{self._maps}/{name}", Thing)
        if record is not None:
            self._records.put(record)
        job = await self._get(f"{self._workloads}/{name}", self._workload_type())
        if job is not None:
            self._jobs.put(job)

    async def _ensure(self, path: str, manifest: Mapping[str, Any], run: Run, kind: type[T]) -> T:
        """The object, made or found. What is there under its name has to be this run's."""
        try:
            return await self._client.create(path, manifest, kind)
        except ApiError as error:
            if not error.is_conflict:
                raise self._refusal(error) from error
        found = await self._get(f"{path}/{run.name}", kind)
        if found is None or found.metadata.deletion_timestamp is not None:
            raise EngineUnavailable("A run of this name is still being removed.")
        if (found.metadata.annotations or {}).get(IDENTITY) != identity(run):
            raise LaunchRefused(f"somebody else's {manifest['kind']} has the run's name")
        return found

    async def _hide(self, manifest: Mapping[str, Any]) -> None:
        """The record of this run is there, so a secret of its name is its own; the gateway may not read secrets."""
        try:
            await self._client.create(self._secrets, manifest, Thing)
        except ApiError as error:
            if not error.is_conflict:
                raise self._refusal(error) from error

    async def _remove_workload(self, name: str) -> None:
        path = f"{self._workloads}/{name}"
        await self._do(self._client.delete(path, propagation=self.propagation))

    async def _get(self, path: str, kind: type[T]) -> T | None:
        try:
            return await self._client.get(path, kind)
        except ApiError as error:
            raise _trouble(error) from error

    async def _do(self, call: Any) -> None:
        try:
            await call
        except ApiError as error:
            raise _trouble(error) from error

    def _refusal(self, error: ApiError) -> LaunchRefused | EngineUnavailable:
        if error.is_quota:
            return EngineUnavailable(f"A quota of the namespace is used up: {error.message}")
        if error.code == 404:
            return LaunchRefused(self.missing)
        return LaunchRefused(f"the API server refused it: {error.message}")

    def _workload_type(self) -> type[W]:
        return self.workload_type  # pyright: ignore[reportReturnType]  what the subclass names is its own W

    def _mirror(self, path: str, kind: type[Any], *, remember: bool = False) -> Mirror[Any]:
        return Mirror(
            self._client, path, f"{selector(self._settings)},{LAUNCHER}={self.name}", kind,
            clock=self._clock, resync_s=self._settings.resync_s, remember=remember,
        )  # fmt: skip


def _run_of(pod: Thing) -> str:
    return (pod.metadata.labels or {}).get(RUN, "")


def _trouble(error: ApiError) -> EngineUnavailable:
    """What is asked of an object that is there can't be the run's fault."""
    return EngineUnavailable(f"The API server refuses: {error.message}")
