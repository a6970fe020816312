"""What Ray is asked for, and the parcel that its driver fetches. Pure.

Ray shows a job's entry point, runtime environment and metadata to whoever may see its dashboard. So what a run needs goes
another way: as one parcel into the head's memory, by the call that packages of code take. Its driver takes it out and
erases it there before it does anything else; where none comes, Ray drops it after ten minutes.
"""

import hashlib
import math
import shlex
from base64 import b64encode
from typing import Any

import msgspec

from tunegate.contract.base import Wire
from tunegate.contract.container import ResourceRequest
from tunegate.contract.training import PROCESSES
from tunegate.launchers.ray.onboard import BOOTSTRAP, SOURCES
from tunegate.launchers.ray.options import RayOptions
from tunegate.launchers.ray.settings import RaySettings
from tunegate.launchers.ray.states import DRIVER, driver_codes
from tunegate.sdk.launcher import Run
from tunegate.sdk.run_files import WORK, command_of, container_env, public_files, secret_files

INSTANCE, DIGEST, JOB = "tunegate", "tunegate_digest", "tunegate_job"
"""Keys of a job's metadata."""
STOP_WAIT = "RAY_JOB_STOP_WAIT_TIME_S"
STOP_WAIT_S = 300
"""Ray kills a driver so long after it asked it to stop, and the driver's nodes with it. The driver is to be quicker."""
_A_TOUCH = 0.001
"""How Ray's own `accelerator_type:…` resources are asked for: every node that has one has 1."""


class Plan(Wire):
    """What the driver goes by. `bundles` holds the resources of each node; in `argv` and `env` stand {files} and {work}."""

    name: str
    bundles: list[dict[str, float]]
    labels: dict[str, str]
    argv: list[str]
    env: dict[str, str]
    pass_env: list[str]
    threads: int
    work_dir: str | None
    deadline_s: float
    grace_s: float
    stop_key: str
    codes: dict[str, int]


class Parcel(Wire):
    """`files` holds base64 by path, the claim token too."""

    source: str
    plan: Plan
    files: dict[str, str]


def package(name: str, what: str = "run") -> str:
    """What a parcel or note is called in the API of packages."""
    return f"tunegate-{name}.{what}"


def key(name: str, what: str = "run") -> str:
    """The same, by the name under which the head keeps it."""
    return f"gcs://{package(name, what)}"


def submission(run: Run, settings: RaySettings) -> dict[str, Any]:
    """The body of `POST /api/jobs/`. The same run gives the same body."""
    absent, _ = DRIVER["parcel"]
    argv = [settings.driver_python, "-c", BOOTSTRAP, key(run.name), str(absent)]
    given: dict[str, Any] = settings.runtime_env
    wait_s = max(STOP_WAIT_S, math.ceil(2 * run.grace_s))
    variables = {**given.get("env_vars", {}), STOP_WAIT: str(wait_s)}
    body: dict[str, Any] = {
        "submission_id": run.name,
        "entrypoint": f"exec {shlex.join(argv)}",
        "runtime_env": {**given, "env_vars": variables},
        "metadata": {INSTANCE: settings.instance, DIGEST: digest(run), JOB: run.job_id},
        "entrypoint_num_cpus": settings.driver_cpus,
        "entrypoint_resources": settings.driver_resources,
    }
    if settings.driver_labels:
        body["entrypoint_label_selector"] = settings.driver_labels
    return body


def plan_of(run: Run, settings: RaySettings) -> Plan:
    """No secret is in it."""
    wanted = run.container.resources
    options = msgspec.convert(run.options, RayOptions)
    python = settings.python or ""  # "" stands for the interpreter of Ray's worker
    return Plan(
        name=run.name,
        bundles=[bundle(wanted, options, settings)] * wanted.nodes,
        labels={**options.node_selector, **settings.node_selector},
        argv=command_of(run, "{files}", python),
        env={
            **settings.env,
            **container_env(run, "{files}"),
            PROCESSES: str(max(1, wanted.gpus)),
            WORK: "{work}",
        },
        pass_env=settings.pass_env,
        threads=wanted.cpus,
        work_dir=settings.work_dir,
        deadline_s=run.remaining_s + settings.margin_s,
        grace_s=run.grace_s,
        stop_key=key(run.name, "stop"),
        codes=driver_codes(),
    )


def parcel_of(run: Run, settings: RaySettings) -> bytes:
    """The one thing with the secret in it."""
    files = public_files(run) | secret_files(run)
    packed = {path: b64encode(content).decode() for path, content in files.items()}
    return msgspec.json.encode(
        Parcel(source=SOURCES, plan=plan_of(run, settings), files=packed),
    )


def bundle(wanted: ResourceRequest, options: RayOptions, settings: RaySettings) -> dict[str, float]:
    """The resources of one node. What the job did not name itself is not asked for, beyond one CPU."""
    asked: dict[str, float] = {"CPU": 1 if "cpus" in wanted.defaulted else wanted.cpus}
    if wanted.gpus:
        asked["GPU"] = wanted.gpus
        if wanted.gpu_type is not None:
            asked[gpu_resource(wanted.gpu_type, settings)] = _A_TOUCH
    if settings.ask_memory and "memory_gb" not in wanted.defaulted:
        asked["memory"] = wanted.memory_bytes
    return asked | options.custom_resources


def gpu_resource(kind: str, settings: RaySettings) -> str:
    """`A100` → `accelerator_type:A100`, or what the operator says."""
    named = (name for known, name in settings.gpu_types.items() if known.lower() == kind.lower())
    return next(named, f"accelerator_type:{kind}")


def digest(run: Run) -> str:
    """Stays the same over submissions of one run, and tells it from any other's."""
    value = [run.name, run.attempt_id, run.container]
    return hashlib.sha256(msgspec.json.encode(value, order="sorted")).hexdigest()[:24]
