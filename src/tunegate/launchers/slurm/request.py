"""`JobRequest`: what Slurm is asked for, before it is put into the words of a command or of a REST version. Pure."""

import hashlib
import math
from pathlib import Path

import msgspec

from tunegate.contract.base import Wire
from tunegate.contract.container import ResourceRequest
from tunegate.launchers.slurm.job import MARK
from tunegate.launchers.slurm.options import SlurmOptions
from tunegate.launchers.slurm.script import batch_script
from tunegate.launchers.slurm.settings import SlurmSettings
from tunegate.sdk.launcher import Run

_MB = 2**20
_MINUTE_S = 60
_LONGEST_WARNING_S = 65535


class JobRequest(Wire):
    """Memory in MB per node, time limit in minutes, `warn_s` before its end the batch script hears SIGTERM."""

    name: str
    comment: str
    folder: str
    output: str
    script: str
    env: dict[str, str]
    nodes: int
    cpus: int
    time_limit_min: int
    warn_s: int
    memory_mb: int | None = None
    gres: str | None = None
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    nodelist: str | None = None
    exclude: str | None = None
    reservation: str | None = None
    licenses: str | None = None
    nice: int | None = None
    exclusive: bool = False


def job_request(run: Run, settings: SlurmSettings, folder: Path) -> JobRequest:
    """The same run gives the same request, but for the time that remains."""
    wanted, options = run.container.resources, merged(run.options, settings)
    limit_min = time_limit_min(run, settings)
    gres = gres_of(wanted, settings)
    return JobRequest(
        name=run.name,
        comment=MARK + digest(run),
        folder=str(folder),
        output=str(folder / "log"),
        script=batch_script(run, settings, folder, gres),
        env={"PATH": settings.path, "LANG": "C.UTF-8"},
        nodes=wanted.nodes,
        cpus=wanted.cpus,
        time_limit_min=limit_min,
        warn_s=min(math.ceil(run.grace_s), _MINUTE_S * limit_min // 2, _LONGEST_WARNING_S),
        memory_mb=math.ceil(wanted.memory_bytes / _MB) if settings.ask_memory else None,
        gres=gres,
        partition=options.partition or options.queue,
        account=options.account,
        qos=options.qos,
        constraint=options.constraint,
        nodelist=options.nodelist,
        exclude=options.exclude,
        reservation=options.reservation,
        licenses=options.licenses,
        nice=options.nice,
        exclusive=bool(options.exclusive),
    )


def merged(options: dict[str, object], settings: SlurmSettings) -> SlurmOptions:
    """The job's options over the operator's defaults; a job's `queue` outdoes a default `partition`."""
    given = msgspec.convert(options, SlurmOptions)
    named = given.partition or given.queue
    defaults = settings.defaults
    if named is not None:
        given = msgspec.structs.replace(given, partition=named)
    said = {k: v for k, v in msgspec.structs.asdict(given).items() if v is not None}
    return msgspec.structs.replace(defaults, **said)


def gres_of(wanted: ResourceRequest, settings: SlurmSettings) -> str | None:
    """`gpu:a100:8`: the GPUs of one node."""
    if not wanted.gpus:
        return None
    asked = (wanted.gpu_type or "").lower()
    fits = (gres for kind, gres in settings.gpu_types.items() if kind.lower() == asked)
    kind = next(fits, settings.gres)
    return f"{kind}:{wanted.gpus}" if kind else None


def time_limit_min(run: Run, settings: SlurmSettings) -> int:
    """A backstop behind the gateway's own deadline, or the most that the cluster grants."""
    wanted = math.ceil((run.remaining_s + run.grace_s + settings.margin_s) / _MINUTE_S)
    return min(wanted, settings.max_time_minutes or wanted)


def is_capped(run: Run, settings: SlurmSettings) -> bool:
    """The cluster's limit comes before the job's own."""
    most = settings.max_time_minutes
    return most is not None and most * _MINUTE_S < run.remaining_s + run.grace_s


def digest(run: Run) -> str:
    """Stays the same over submissions of one run, and tells it from any other's."""
    value = [run.name, run.attempt_id, run.container]
    return hashlib.sha256(msgspec.json.encode(value, order="sorted")).hexdigest()[:24]
