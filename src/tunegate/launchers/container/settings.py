"""`[launchers.container]` of the operator's configuration."""

from typing import Annotated, Literal

from msgspec import Meta

from tunegate.contract.base import Strict

Seconds = Annotated[float, Meta(gt=0)]
Count = Annotated[int, Meta(ge=1)]
Mount = Annotated[str, Meta(pattern=r"^[^:]+:/[^:]*(:(ro|rw))?$")]


class ContainerSettings(Strict):
    """The defaults are those of an engine that runs nobody else's containers. None = look at the machine."""

    socket: str | None = None
    """The engine's socket. None = DOCKER_HOST, CONTAINER_HOST, or the usual places of docker and podman."""
    instance: Annotated[str, Meta(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")] = "tunegate"
    """Label that tells this gateway's runs from another's: gateways that share an engine need one each."""
    timeout_s: Seconds = 60.0
    """For one call of the engine; pulls of images have their own time."""

    network: Annotated[str, Meta(min_length=1)] = "tunegate"
    """The engine's network for runs: one that reaches this gateway and the stores, and nothing else. `host` is the host's own;
    `none` is none at all, for data, models and results on `mounts`: then events are left beside the output."""
    extra_hosts: list[str] = []
    """Names that runs know: `gateway:host-gateway`."""
    user: Annotated[str, Meta(pattern=r"^[1-9]\d*:[1-9]\d*$")] = "10001:10001"
    """User and group of the runs, in numbers; not root."""
    runtime: str | None = None
    """An OCI runtime other than the engine's own, such as `runsc`."""

    pull: Literal["missing", "always", "never"] = "missing"
    """When an image is fetched from its registry."""
    registry_auth: str | None = None
    """A `config.json` of docker or an `auth.json` of podman with the registries' credentials."""
    start_deadline_s: Seconds = 900.0
    """How long a run may fail to start (an image that can't be pulled) until it counts as failed."""

    gpus: list[str] | None = None
    """GPUs that jobs may share out among them, by number or UUID; must be given where the gateway is a container itself."""
    gpu_type: str | None = None
    """What jobs must ask for when they name a `gpu_type`."""
    gpu_access: Literal["cdi", "nvidia"] = "cdi"
    """How GPUs are given: by the Container Device Interface (podman, docker from 28 on), or by docker's NVIDIA runtime."""
    cpus: Count | None = None
    """CPUs that jobs may share out among them."""
    memory_gb: Count | None = None
    """Memory that jobs may share out among them."""
    cpu_fallback: bool = False
    """Run jobs that ask for more than this machine has on what there is; the job's `ignored` list says so."""

    mounts: list[Mount] = []
    """Folders of the host or volumes that every run sees: `/srv/models:/srv/models:ro`."""
    cache: str | None = None
    """A volume or folder for downloaded models, shared by all runs, which `user` may write to; HF_HOME points there."""
    env: dict[str, str] = {}
    """Further variables of the runs; never a secret: whoever may ask the engine reads them."""
    pids: Annotated[int, Meta(ge=16)] = 4096
    """Processes and threads of a run."""
    tmp_mb: Count = 1024
    """Size of /tmp, which counts as memory where it is used."""
    shm_mb: Count = 8192
    """Size of /dev/shm, which counts as memory where it is used."""
    log_mb: Count = 100
    """Size at which the engine begins a run's log anew."""
    margin_s: Seconds = 60.0
    """Between the job's own end and the launcher's, which is a backstop."""
