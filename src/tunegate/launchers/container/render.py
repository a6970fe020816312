"""What the engine is asked for: a container that may do nothing but train. Pure."""

import io
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

import msgspec

from tunegate.contract.training import PROCESSES
from tunegate.launchers.container.names import GRANT, labels
from tunegate.launchers.container.settings import ContainerSettings
from tunegate.launchers.local.fit import Demand
from tunegate.launchers.local.queue import Grant
from tunegate.sdk.launcher import LaunchRefused, Run
from tunegate.sdk.run_files import CONTAINER_FOLDER, WORK, WORK_FOLDER, command_of, container_env

ROOM = str(PurePosixPath(CONTAINER_FOLDER).parent)
"""Where the run's one volume is: its files, which root owns, and its disk, which it owns itself."""
CACHE = f"{ROOM}-cache"
SOME_GPU = "?"
"""Stands for a GPU in what is shown before a run's turn has come."""
_MB = 2**20


def create_request(run: Run, demand: Demand, settings: ContainerSettings) -> dict[str, Any]:
    """The body of `POST /containers/create`, but for the GPUs, which are known when the run's turn comes."""
    program, *arguments = command_of(run, CONTAINER_FOLDER)
    return {
        "Image": run.container.image,
        "Entrypoint": [program],
        "Cmd": arguments,
        "Env": [f"{name}={text}" for name, text in sorted(_env(run, demand, settings).items())],
        "User": settings.user,
        "WorkingDir": WORK_FOLDER,
        "Labels": labels(run, settings.instance),
        "StopSignal": "SIGTERM",
        "HostConfig": _host_config(demand, settings),
    }


def with_grant(
    request: Mapping[str, Any], grant: Grant, settings: ContainerSettings
) -> dict[str, Any]:
    """The request with its GPUs, and a label that says what it holds."""
    label = {GRANT: msgspec.json.encode(grant).decode()}
    asked = {**request, "Labels": {**request["Labels"], **label}}
    if grant.gpu_ids:
        devices = [_gpus(grant.gpu_ids, settings)]
        asked["HostConfig"] = {**request["HostConfig"], "DeviceRequests": devices}
    return asked


def room(public: Mapping[str, bytes], secret: Mapping[str, bytes], user: str) -> bytes:
    """A tar of the run's volume. The run may read its files and write to its disk; the secret is its own alone."""
    owner = tuple(int(part) for part in user.split(":"))
    holder = io.BytesIO()
    with tarfile.open(fileobj=holder, mode="w") as tar:
        _add_folder(tar, "files", 0o755, (0, 0))
        _add_folder(tar, "work", 0o700, owner)
        for folder in sorted({str(one) for path in public for one in _parents(path)}):
            _add_folder(tar, f"files/{folder}", 0o755, (0, 0))
        for path, content in sorted(public.items()):
            _add_file(tar, f"files/{path}", content, 0o444, (0, 0))
        for path, content in sorted(secret.items()):
            _add_file(tar, f"files/{path}", content, 0o400, owner)
    return holder.getvalue()


def _env(run: Run, demand: Demand, settings: ContainerSettings) -> dict[str, str]:
    """The operator's variables, the container's own, and where a read-only image may write."""
    threads = str(demand.cpus)
    ours = {WORK: WORK_FOLDER, "HOME": WORK_FOLDER, PROCESSES: str(max(1, demand.gpus))}
    if settings.cache is not None:
        ours["HF_HOME"] = CACHE
    if not demand.gpus or settings.gpu_access == "cdi":
        ours["NVIDIA_VISIBLE_DEVICES"] = "void"  # images say "all", and NVIDIA's runtime heeds it
    return {
        "OMP_NUM_THREADS": threads,
        "MKL_NUM_THREADS": threads,
        **settings.env,
        **container_env(run, CONTAINER_FOLDER),
        **ours,
    }


def _host_config(demand: Demand, settings: ContainerSettings) -> dict[str, Any]:
    config: dict[str, Any] = {
        "NetworkMode": settings.network,
        "ReadonlyRootfs": True,
        "CapDrop": ["ALL"],
        "SecurityOpt": ["no-new-privileges"],
        "PidsLimit": settings.pids,
        "Memory": demand.memory_bytes,
        "MemorySwap": demand.memory_bytes,
        "NanoCpus": demand.cpus * 10**9,
        "ShmSize": settings.shm_mb * _MB,
        "Tmpfs": {"/tmp": f"rw,nosuid,nodev,mode=1777,size={settings.tmp_mb}m"},  # noqa: S108  its own
        "Mounts": [{"Type": "volume", "Target": ROOM}, *_mounts(settings)],
        "RestartPolicy": {"Name": "no"},
        "LogConfig": {
            "Type": "json-file",
            "Config": {"max-size": f"{settings.log_mb}m", "max-file": "1"},
        },
    }
    if settings.extra_hosts:
        config["ExtraHosts"] = settings.extra_hosts
    if settings.runtime is not None:
        config["Runtime"] = settings.runtime
    return config


def _mounts(settings: ContainerSettings) -> list[dict[str, Any]]:
    cache = [] if settings.cache is None else [f"{settings.cache}:{CACHE}"]
    return [_mount(*one.split(":")) for one in (*settings.mounts, *cache)]


def _mount(source: str, target: str, access: str = "rw") -> dict[str, Any]:
    kind = "bind" if source.startswith("/") else "volume"
    return {"Type": kind, "Source": source, "Target": target, "ReadOnly": access == "ro"}


def _gpus(ids: Sequence[str], settings: ContainerSettings) -> dict[str, Any]:
    if settings.gpu_access == "cdi":
        return {"Driver": "cdi", "DeviceIDs": [f"nvidia.com/gpu={one}" for one in ids]}
    return {"Driver": "nvidia", "DeviceIDs": list(ids), "Capabilities": [["gpu"]]}


def _parents(path: str) -> list[PurePosixPath]:
    """The folders above a file. Raises LaunchRefused for one that lies outside."""
    pure = PurePosixPath(path)
    if pure.is_absolute() or not pure.parts or ".." in pure.parts:
        raise LaunchRefused("a file of the container lies outside its folder")
    return [one for one in pure.parents if one.parts]


def _add_folder(tar: tarfile.TarFile, path: str, mode: int, owner: Sequence[int]) -> None:
    tar.addfile(_entry(path, tarfile.DIRTYPE, mode, owner))


def _add_file(
    tar: tarfile.TarFile, path: str, content: bytes, mode: int, owner: Sequence[int]
) -> None:
    entry = _entry(path, tarfile.REGTYPE, mode, owner)
    entry.size = len(content)
    tar.addfile(entry, io.BytesIO(content))


def _entry(path: str, kind: bytes, mode: int, owner: Sequence[int]) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(path)
    entry.type, entry.mode = kind, mode
    entry.uid, entry.gid = owner
    return entry
