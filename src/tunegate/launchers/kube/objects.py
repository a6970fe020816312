"""The parts of Kubernetes objects that are read. Fields that a server leaves out are empty."""

from datetime import datetime
from typing import dataclass_transform

import msgspec


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(msgspec.field,))
class Read(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Base of all that is read; what is not named is skipped."""


class Meta(Read):
    name: str = ""
    uid: str = ""
    resource_version: str = ""
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None
    creation_timestamp: datetime | None = None
    deletion_timestamp: datetime | None = None
    """For a pod: when its grace ends."""
    owner_references: list["Owner"] | None = None


class Owner(Read):
    uid: str = ""


class Condition(Read):
    type: str
    status: str = ""
    reason: str = ""
    message: str = ""
    last_transition_time: datetime | None = None


class Waiting(Read):
    reason: str = ""
    message: str = ""


class Terminated(Read):
    exit_code: int = 0
    reason: str = ""
    message: str = ""


class ContainerState(Read):
    waiting: Waiting | None = None
    running: dict[str, str | None] | None = None
    terminated: Terminated | None = None


class ContainerStatus(Read):
    name: str = ""
    ready: bool = False
    state: ContainerState = ContainerState()


class PodStatus(Read):
    phase: str = ""
    reason: str = ""
    message: str = ""
    conditions: list[Condition] | None = None
    container_statuses: list[ContainerStatus] | None = None


class PodSpec(Read):
    node_name: str = ""


class Thing(Read):
    """Any object, for its name and owner."""

    metadata: Meta = Meta()


class Pod(Thing):
    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()


class JobSpec(Read):
    suspend: bool = False
    completions: int | None = None
    active_deadline_seconds: int | None = None


class JobStatus(Read):
    conditions: list[Condition] | None = None
    start_time: datetime | None = None
    active: int = 0
    succeeded: int = 0
    failed: int = 0


class Job(Thing):
    spec: JobSpec = JobSpec()
    status: JobStatus = JobStatus()


class Happening(Read):
    """An `Event`: what a controller tried, in words."""

    type: str = ""
    reason: str = ""
    message: str = ""
    last_timestamp: datetime | None = None


def holds(conditions: list[Condition] | None, kind: str) -> Condition | None:
    """The condition of this kind if it is true."""
    found = condition(conditions, kind)
    return found if found is not None and found.status == "True" else None


def condition(conditions: list[Condition] | None, kind: str) -> Condition | None:
    """The condition of this kind, whatever its status."""
    return next((one for one in conditions or () if one.type == kind), None)
