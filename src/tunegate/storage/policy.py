"""The storage policy as the egress guard understands it."""

from tunegate.contract.training import StoragePolicy
from tunegate.egress import EgressPolicy

CONNECT_TIMEOUT_S = 10.0
READ_TIMEOUT_S = 60.0


def egress_policy(policy: StoragePolicy) -> EgressPolicy:
    """Any port, as object stores live on many; the silence allowed is that of a slow store."""
    return EgressPolicy(
        allow_http=policy.allow_http,
        allow_private_addresses=policy.allow_private_addresses,
        allowed_networks=tuple(policy.allowed_networks),
        allowed_ports=(),
        proxy_url=policy.proxy_url,
        connect_timeout_s=CONNECT_TIMEOUT_S,
        total_timeout_s=READ_TIMEOUT_S,
    )
