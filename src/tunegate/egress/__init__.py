"""The one way out: every address that a user can name is dialled through here, and checked at the socket."""

from tunegate.egress.client import EgressClient, EgressResponse, WebSocketPush
from tunegate.egress.guard import GuardedConnector, guarded_socket_factory
from tunegate.egress.policy import (
    EgressError,
    EgressFailed,
    EgressPolicy,
    EgressRefused,
    EgressUnreachable,
    check_url,
)

__all__ = [
    "EgressClient",
    "EgressError",
    "EgressFailed",
    "EgressPolicy",
    "EgressRefused",
    "EgressResponse",
    "EgressUnreachable",
    "GuardedConnector",
    "WebSocketPush",
    "check_url",
    "guarded_socket_factory",
]
