"""Kubeflow Trainer's progress protocol (trainer.kubeflow.org/v1alpha1): what a training program posts of itself.

Three variables tell a program where to: an address, the file of the authority that vouches for it, and the file of a
token. Hugging Face's Trainer (its KubeflowCallback) and Kubeflow's SDK look for them and report by themselves.
"""

from typing import Annotated

from msgspec import Meta, field

from tunegate.contract.base import Wire

SERVER_URL = "KUBEFLOW_TRAINER_SERVER_URL"
SERVER_CA_CERT = "KUBEFLOW_TRAINER_SERVER_CA_CERT"
SERVER_TOKEN = "KUBEFLOW_TRAINER_SERVER_TOKEN"  # noqa: S105  names a file
STATUS_PATH = "/internal/namespaces/tunegate/trainjobs/{attempt_id}/status"
"""Where the gateway takes reports; an attempt stands in the place of a TrainJob."""
BODY_LIMIT_BYTES = 2**16
_Text = Annotated[str, Meta(min_length=1, max_length=64)]


class Metric(Wire):
    """A number as text, under the program's own name for it."""

    name: _Text
    value: _Text


class TrainerStatus(Wire):
    """How far the training is. What is not known is left out."""

    progress_percentage: Annotated[int, Meta(ge=0, le=100)] | None = field(
        default=None, name="progressPercentage"
    )
    estimated_remaining_s: Annotated[int, Meta(ge=0)] | None = field(
        default=None, name="estimatedRemainingSeconds"
    )
    metrics: Annotated[list[Metric], Meta(max_length=256)] | None = None
    last_updated_time: str | None = field(default=None, name="lastUpdatedTime")
    """By the program's own clock, RFC 3339."""


class StatusReport(Wire):
    """`POST …/trainjobs/{attempt_id}/status`, bearer = the attempt's token; the answer repeats it."""

    trainer_status: TrainerStatus | None = field(default=None, name="trainerStatus")
