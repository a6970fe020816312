"""JSON Schema of all wire types, for the OpenAPI page and for clients that generate code."""

from typing import Any

import msgspec

from tunegate.contract.attempt import ClaimGrant, ClaimRequest, EventBatch, EventReceipt
from tunegate.contract.audit import AuditEntry, AuditHead
from tunegate.contract.job import (
    CheckpointList,
    DryRun,
    EventPage,
    FileList,
    InstalledList,
    Job,
    JobPage,
    MetricSeries,
    WebhookBody,
)
from tunegate.contract.problems import ProblemDetails
from tunegate.contract.request import TrainRequest
from tunegate.contract.secret import schema_hook
from tunegate.contract.tokens import IssuedToken, NewToken, Rotation, TokenList
from tunegate.contract.trainer_status import StatusReport
from tunegate.contract.webhooks import ReplayRequest, ReplayResult, WebhookPage

WIRE_TYPES: tuple[type[msgspec.Struct], ...] = (
    TrainRequest,
    Job,
    JobPage,
    EventPage,
    MetricSeries,
    CheckpointList,
    FileList,
    DryRun,
    InstalledList,
    WebhookBody,
    WebhookPage,
    ReplayRequest,
    ReplayResult,
    NewToken,
    Rotation,
    IssuedToken,
    TokenList,
    AuditEntry,
    AuditHead,
    ProblemDetails,
    ClaimRequest,
    ClaimGrant,
    EventBatch,
    EventReceipt,
    StatusReport,
)


def components() -> dict[str, dict[str, Any]]:
    """Every wire type and all that it is made of, by name, with references as in OpenAPI."""
    _, found = msgspec.json.schema_components(
        WIRE_TYPES, schema_hook=schema_hook, ref_template="#/components/schemas/{name}"
    )
    return found


def reference(wire_type: type[msgspec.Struct]) -> dict[str, str]:
    """The `$ref` of one of them."""
    return {"$ref": f"#/components/schemas/{wire_type.__name__}"}


def schema_of(wire_type: type[msgspec.Struct]) -> dict[str, Any]:
    """One type on its own, such as a plugin's options."""
    return msgspec.json.schema(wire_type, schema_hook=schema_hook)
