"""A control plane without loops: a real store and sealer, a small backend and launcher, objects in memory."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint
from itertools import count
from pathlib import Path
from typing import Any, ClassVar, Self

import msgspec
from stevedore.extension import Extension

from tunegate.contract.base import Strict
from tunegate.contract.container import ContainerFile, ContainerSpec
from tunegate.contract.decode import decode
from tunegate.contract.problems import Ignored, Problem
from tunegate.contract.request import Auth, TrainRequest
from tunegate.contract.training import StoragePolicy
from tunegate.control.context import ControlContext
from tunegate.control.plugins import Discovery
from tunegate.control.principal import Principal
from tunegate.control.registry import BackendRegistry, LauncherRegistry
from tunegate.control.sealer import Sealer
from tunegate.control.settings import ControlSettings, TrainerSettings, WebhookSettings
from tunegate.control.store.sqlite import SqliteStore
from tunegate.sdk.backend import BackendPlugin, BuildContext, NoOptions, Review
from tunegate.sdk.launcher import (
    Capabilities,
    Launcher,
    LauncherContext,
    NativeRequest,
    Run,
    RunState,
    RunStatus,
)
from tunegate.sdk.resolve import TrainerOptions, resolve_resources, resolve_training
from tunegate.sdk.storage import ObjectInfo, ObjectNotFound, ObjectStore

TENANT = Principal(name="acme")


class StillClock:
    """Time that moves when told to; whoever sleeps, sleeps for good unless `impatient`."""

    def __init__(self, now_ms: int = 1_900_000_000_000) -> None:
        self.time_ms = now_ms
        self.impatient = False

    def now_ms(self) -> int:
        return self.time_ms

    def monotonic_s(self) -> float:
        return self.time_ms / 1000

    async def sleep(self, delay_s: float) -> None:
        if not self.impatient:
            await asyncio.Event().wait()


class TrainingBackend(BackendPlugin[TrainerOptions]):
    """Serves LoRA with the shared trainer's job.json."""

    name = "trainer"
    description = "for tests"
    methods = frozenset({"lora"})
    options_type = TrainerOptions

    def review(self, job: TrainRequest, options: TrainerOptions, context: BuildContext) -> Review:
        if job.customization.rank == 13:
            problem = Problem(path="$.customization.rank", message="unlucky", code="not_supported")
            return Review(problems=[problem])
        return Review(notes=["reviewed"])

    def build(
        self, job: TrainRequest, options: TrainerOptions, context: BuildContext
    ) -> ContainerSpec:
        spec = resolve_training(job, options, context, method="lora", backend=self.name)
        return ContainerSpec(
            image=options.container_image or context.trainer_image,
            command=["train"],
            resources=resolve_resources(job),
            files=[ContainerFile(path="job.json", content=msgspec.json.encode(spec).decode())],
            labels=context.labels,
        )


class PlainBackend(BackendPlugin[NoOptions]):
    """Serves full tuning with a program of its own."""

    name = "plain"
    methods = frozenset({"full"})
    options_type = NoOptions

    def review(self, job: TrainRequest, options: NoOptions, context: BuildContext) -> Review:
        return Review()

    def build(self, job: TrainRequest, options: NoOptions, context: BuildContext) -> ContainerSpec:
        return ContainerSpec(image="plain", command=["run"], resources=resolve_resources(job))


class QueueOptions(Strict):
    """Options of the launcher."""

    queue: str | None = None
    priority: int | None = None


class QueueLauncher(Launcher):
    """Runs nothing; its logs are what a test puts there."""

    name = "queue"
    description = "for tests"
    options_type = QueueOptions
    largest_gpus: ClassVar[int] = 8

    def __init__(self, settings: Any, context: LauncherContext) -> None:
        self.output: dict[str, bytes] = {}

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(gpus=self.largest_gpus)

    def review(
        self, container: ContainerSpec, options: dict[str, Any]
    ) -> tuple[list[Problem], list[Ignored]]:
        if container.resources.gpus > self.largest_gpus:
            message = f"no node has more than {self.largest_gpus} GPUs"
            path = "$.resources.gpus"
            return [Problem(path=path, message=message, code="insufficient_resources")], []
        return [], []

    def render(self, run: Run) -> NativeRequest:
        body = {"name": run.name, "token": run.claim_token, "options": run.options}
        return NativeRequest(kind="Queued", body=body)

    async def submit(self, run: Run) -> None: ...
    async def poll(self, names: Sequence[str]) -> dict[str, RunStatus]:
        return {name: RunStatus(name=name, state=RunState.ABSENT) for name in names}

    async def cancel(self, name: str, grace_s: float) -> None: ...
    async def cleanup(self, name: str) -> None: ...
    async def list_runs(self) -> list[str]:
        return []

    async def logs(self, name: str, *, follow: bool, offset: int = 0) -> AsyncIterator[bytes]:
        yield self.output.get(name, b"")[offset:]


class OtherLauncher(QueueLauncher):
    """A second one to choose."""

    name = "other"
    options_type = NoOptions


class MemoryObjects(ObjectStore):
    """Objects in a dict. Remembers who asked with which credentials."""

    schemes = frozenset({"s3"})
    files: ClassVar[dict[str, bytes]] = {}

    def __init__(self, policy: StoragePolicy, auth: Auth | None = None) -> None:
        self._auth = auth

    async def __aenter__(self) -> Self:
        return self

    async def head(self, uri: str) -> ObjectInfo:
        return ObjectInfo(uri=uri, size_bytes=len(await self.read(uri)))

    async def read(self, uri: str, *, offset: int = 0, length: int | None = None) -> bytes:
        if uri not in self.files:
            raise ObjectNotFound("there is no such object")
        end = None if length is None else offset + length
        return self.files[uri][offset:end]

    async def stream(
        self, uri: str, *, offset: int = 0, chunk_bytes: int = 1
    ) -> AsyncIterator[bytes]:
        yield await self.read(uri, offset=offset)

    async def write(self, uri: str, data: bytes, *, if_absent: bool = False) -> ObjectInfo:
        self.files[uri] = data
        return await self.head(uri)

    async def upload(self, source: Path, uri: str) -> ObjectInfo:
        return await self.write(uri, source.read_bytes())

    async def download(self, uri: str, target: Path) -> ObjectInfo:
        target.write_bytes(await self.read(uri))
        return await self.head(uri)

    async def list(self, prefix: str) -> AsyncIterator[ObjectInfo]:
        for uri in sorted(self.files):
            if uri.startswith(prefix):
                yield await self.head(uri)

    async def delete(self, uri: str) -> None:
        self.files.pop(uri, None)

    async def presign(self, uri: str, *, expires_s: int = 3600) -> str | None:
        return f"https://links.test/{uri}" if self._auth is not None else None


def extension(plugin: type[Any], name: str | None = None) -> Extension[Any]:
    """What stevedore gives for an entry point."""
    value = f"{plugin.__module__}:{plugin.__qualname__}"
    entry = EntryPoint(name or plugin.name, value, "tests")
    return Extension(entry.name, entry, plugin, None)


def discovery(*plugins: type[Any]) -> Discovery:
    return Discovery(found={plugin.name: extension(plugin) for plugin in plugins})


@dataclass
class Front:
    """The pieces of a control plane that a test looks at."""

    context: ControlContext
    store: SqliteStore
    clock: StillClock
    path: Path
    launcher: QueueLauncher
    objects: dict[str, bytes] = field(default_factory=dict[str, bytes])


async def build_front(folder: Path, **replaced: Any) -> Front:
    """`replaced`: fields of the ControlContext."""
    clock = StillClock()
    store = SqliteStore(folder / "jobs.db", clock)
    await store.open()
    files: dict[str, bytes] = {}
    objects = type("Objects", (MemoryObjects,), {"files": files})
    launcher_context = LauncherContext(state_dir=str(folder), clock=clock)
    launchers = LauncherRegistry(discovery(QueueLauncher, OtherLauncher), {}, launcher_context)
    numbers = count(1)
    fields: dict[str, Any] = {
        "store": store,
        "sealer": Sealer(folder / "key"),
        "backends": BackendRegistry(discovery(TrainingBackend, PlainBackend)),
        "launchers": launchers,
        "control": ControlSettings(default_launcher="queue"),
        "trainer": TrainerSettings(),
        "webhooks": WebhookSettings(),
        "storage": StoragePolicy(file_roots=["/data"], allow_ambient_credentials=True),
        "state_dir": folder,
        "clock": clock,
        "open_store": lambda _uri, policy, auth: objects(policy, auth),
        "check_url": lambda url: (
            "Private addresses are not allowed." if "10.0.0.1" in url else None
        ),
        "new_uid": lambda: f"uid{next(numbers):04}",
        "public_url": "https://gateway.test/",
    }
    context = ControlContext(**(fields | replaced))
    launcher = launchers.get("queue")
    assert isinstance(launcher, QueueLauncher)
    return Front(context, store, clock, folder / "jobs.db", launcher, files)


def body(**fields: Any) -> dict[str, Any]:
    """A small valid request as plain JSON."""
    plain: dict[str, Any] = {
        "job_id": "job-1",
        "base_model": {"provider": "huggingface", "model_name": "meta-llama/Llama-2-7b"},
        "customization": {"method": "lora"},
        "datasets": [{"source": "s3://bucket/data/train.jsonl", "format": "auto"}],
        "artifacts": {"output_uri": "s3://bucket/results"},
    }
    return plain | fields


def request(**fields: Any) -> TrainRequest:
    return decode(TrainRequest, msgspec.json.encode(body(**fields)))
