"""The keys of `extra_parameters` that launchers of pods take."""

from typing import Annotated, Literal

from msgspec import Meta

from tunegate.contract.base import Strict

LabelKey = Annotated[
    str,
    Meta(
        pattern=r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$"
    ),
]
LabelValue = Annotated[str, Meta(pattern=r"^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$")]


class Toleration(Strict):
    """A taint that the job puts up with. The operator says which keys a user may name."""

    key: LabelKey
    operator: Literal["Exists", "Equal"] = "Exists"
    value: LabelValue | None = None
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None


class PodOptions(Strict):
    """What a user may say of where and when a job's pods run."""

    queue: LabelValue | None = None
    """The queue that the job waits in (a Kueue LocalQueue)."""
    priority: str | None = None
    """A priority class; the operator says which."""
    node_selector: dict[LabelKey, LabelValue] = {}
    """Labels that the nodes must have."""
    tolerations: list[Toleration] = []
