"""Labels and annotations by which a run's objects are found and known as ours. Pure."""

import hashlib
import re

import msgspec

from tunegate.launchers.kube.options import PodOptions
from tunegate.launchers.kube.settings import KubeSettings
from tunegate.sdk.launcher import LaunchRefused, Run

MANAGED_BY = "app.kubernetes.io/managed-by"
INSTANCE = "tunegate.io/instance"
RUN = "tunegate.io/run"
LAUNCHER = "tunegate.io/launcher"
"""Label that tells the objects of one launcher from those of others in the same namespace."""
QUEUE = "kueue.x-k8s.io/queue-name"
PRIORITY = "kueue.x-k8s.io/priority-class"
IDENTITY = "tunegate.io/identity"
"""Annotation with the digest of what the run is: an object of the same name with another one is somebody else's."""
STOP = "tunegate.io/stop"
"""Annotation with which the gateway marks what it asked to stop."""
CONTAINER = "trainer"
LONGEST_NAME = 52
"""Pods add an index and five random characters to it, and host names end at 63."""
_NAME = re.compile(r"[a-z]([a-z0-9-]*[a-z0-9])?")
_ANNOTATION = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?")


def check_name(name: str) -> None:
    """Raises LaunchRefused for a name that no Job and Service can have."""
    if len(name) > LONGEST_NAME or not _NAME.fullmatch(name):
        raise LaunchRefused(
            f"the run's name must be at most {LONGEST_NAME} of a-z, 0-9 and -, and begin with a letter"
        )


def selector(settings: KubeSettings) -> str:
    """The label selector of all that this gateway made."""
    return f"{MANAGED_BY}=tunegate,{INSTANCE}={settings.instance}"


def labels(run: Run, settings: KubeSettings) -> dict[str, str]:
    """What every object of a run carries."""
    return {
        "app.kubernetes.io/name": "tunegate-run",
        MANAGED_BY: "tunegate",
        INSTANCE: settings.instance,
        RUN: run.name,
    }


def run_labels(run: Run, settings: KubeSettings, launcher: str) -> dict[str, str]:
    """What every object of a run of this launcher carries."""
    return {**labels(run, settings), LAUNCHER: launcher}


def queueing(options: PodOptions, settings: KubeSettings) -> dict[str, str]:
    """The labels that Kueue reads."""
    queue = options.queue or settings.queue
    priority = options.priority or settings.priority_class
    named = {QUEUE: queue, PRIORITY: priority} if queue is not None else {}
    return {label: name for label, name in named.items() if name is not None}


def identity(run: Run) -> str:
    """What makes this run this run: not the time that it has left, nor what the operator changed since."""
    what = msgspec.json.encode((run.attempt_id, run.container), order="sorted")
    return hashlib.sha256(what).hexdigest()[:32]


def annotations(run: Run) -> dict[str, str]:
    """What is told of a run beside its labels, which take short words only."""
    told = {key: text for key, text in run.container.labels.items() if _ANNOTATION.fullmatch(key)}
    return {**told, IDENTITY: identity(run)}
