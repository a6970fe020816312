"""Labels by which a run's container is found, known as ours, and told what it holds. Pure."""

import hashlib
import re
from collections.abc import Mapping

import msgspec

from tunegate.launchers.local.queue import Grant
from tunegate.sdk.launcher import Run

INSTANCE = "io.tunegate.instance"
IDENTITY = "io.tunegate.identity"
"""Digest of what the run is: a container of the same name with another one is somebody else's."""
ATTEMPT = "io.tunegate.attempt"
GRANT = "io.tunegate.grant"
"""What the container holds of the machine, as JSON."""
NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


def identity(run: Run) -> str:
    """What makes this run this run: not the time that it has left, nor what the operator changed since."""
    what = msgspec.json.encode((run.attempt_id, run.container), order="sorted")
    return hashlib.sha256(what).hexdigest()[:32]


def labels(run: Run, instance: str) -> dict[str, str]:
    """The container's own labels, and ours, which win."""
    ours = {INSTANCE: instance, IDENTITY: identity(run), ATTEMPT: run.attempt_id}
    return {**run.container.labels, **ours}


def grant_of(found: Mapping[str, str]) -> Grant:
    """What a container holds; of one whose label is spoiled, nothing."""
    try:
        return msgspec.json.decode(found.get(GRANT, ""), type=Grant)
    except msgspec.MsgspecError:
        return Grant(gpu_ids=[], cpus=0, memory_bytes=0)
