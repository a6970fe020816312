"""What the operator allows, and the early check of an address before anything is dialled."""

import re
from ipaddress import ip_network
from typing import Annotated

from msgspec import Meta
from yarl import URL

from tunegate.contract.base import Strict
from tunegate.egress.addresses import Network, parse, refusal

DEFAULT_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}
_ENCRYPTED = frozenset({"https", "wss"})
_MAX_URL_LENGTH = 8192
_NOT_IN_URLS = re.compile(r'[\x00-\x20\\\x7f"<>]')

PositiveSeconds = Annotated[float, Meta(gt=0)]


class EgressError(Exception):
    """Base of what goes wrong on the way out. The message never holds user info, a path or a query."""


class EgressRefused(EgressError):
    """The policy forbids this address; the message names the rule. Trying again is of no use."""


class EgressFailed(EgressError):
    """The other side could not be reached, or it broke off. Trying again may help."""


class EgressUnreachable(EgressFailed):
    """Nothing was sent: the name can't be resolved, or no connection came about."""


class EgressPolicy(Strict):
    """Where the gateway may send webhooks and status streams (the table `[egress]`)."""

    allow_http: bool = False
    """Plain http:// and ws:// besides https:// and wss://: what is sent can then be read on the way."""
    allow_private_addresses: bool = False
    """Loopback and private ranges may be dialled: for laptops and for receivers in one's own network."""
    allowed_networks: tuple[str, ...] = ()
    """Networks (CIDR) that may be dialled whatever the other rules say: exceptions for single receivers."""
    allowed_ports: tuple[Annotated[int, Meta(ge=1, le=65535)], ...] = (80, 443, 8443)
    """Ports that may be dialled, against misuse as a port scanner; an empty list means any."""
    connect_timeout_s: PositiveSeconds = 5.0
    """Longest wait for a connection: a dead receiver must not hold a slot for long."""
    total_timeout_s: PositiveSeconds = 30.0
    """Longest time for a whole request; for downloads the longest silence."""
    response_cap_bytes: Annotated[int, Meta(ge=0)] = 65536
    """A longer answer to a push is cut off: nobody reads it, so it shall cost nothing."""
    proxy_url: str | None = None
    """An egress proxy through which all goes; it must refuse private addresses itself, as names are then resolved there."""

    def __post_init__(self) -> None:
        """Raise ValueError when a network is not written as CIDR, or the proxy is no http(s) address."""
        self.networks()
        if self.proxy_url is not None and parse_url(self.proxy_url).scheme not in {"http", "https"}:
            raise ValueError("proxy_url must begin with http:// or https://")

    def networks(self) -> tuple[Network, ...]:
        """`allowed_networks`, parsed."""
        return tuple(ip_network(network) for network in self.allowed_networks)


def parse_url(url: str) -> URL:
    """The one parser for checking and for dialling: two that differ are a way around the check. Raises ValueError.

    What is ASCII is sent as it is written, since signatures of links may cover the very spelling.
    """
    parsed = URL(url, encoded=url.isascii())
    _ = parsed.explicit_port  # it is read late, and only then found wrong
    return parsed


def check_url(url: str, policy: EgressPolicy) -> str | None:
    """Why this address would be refused, as one sentence, or None.

    For early answers: names are not resolved here, so the check at the socket still has the last word.
    """
    if len(url) > _MAX_URL_LENGTH:
        return "The address is too long."
    if _NOT_IN_URLS.search(url):
        return "The address holds a space, a control character or a backslash."
    try:
        parsed = parse_url(url)
    except ValueError:
        return "The address is not a valid URL."
    return _scheme_rule(parsed, policy) or _host_rule(parsed, policy) or _port_rule(parsed, policy)


def _scheme_rule(url: URL, policy: EgressPolicy) -> str | None:
    if url.scheme in _ENCRYPTED or (policy.allow_http and url.scheme in DEFAULT_PORTS):
        return None
    if url.scheme in DEFAULT_PORTS:
        return "Plain http:// and ws:// are not allowed here: use https:// or wss://."
    return "The address must start with https:// or wss://."


def _host_rule(url: URL, policy: EgressPolicy) -> str | None:
    if url.user is not None or url.password is not None:
        return "The address must not hold a user name or password."
    host = url.raw_host
    if not host:
        return "The address names no host."
    address = parse(host)
    if address is not None:
        words = refusal(
            address,
            allow_private=policy.allow_private_addresses,
            allowed_networks=policy.networks(),
        )
        return None if words is None else f"The host is {words}, which is not allowed."
    name = host.lower().removesuffix(".")
    if "%" in name:
        return "The host name holds an encoded character."
    if name == "localhost" or name.endswith(".localhost"):
        local_is_fine = policy.allow_private_addresses or policy.allowed_networks
        return None if local_is_fine else "The host is a loopback address, which is not allowed."
    return None


def _port_rule(url: URL, policy: EgressPolicy) -> str | None:
    port = url.explicit_port if url.explicit_port is not None else DEFAULT_PORTS[url.scheme]
    if policy.allowed_ports and port not in policy.allowed_ports:
        ports = ", ".join(map(str, policy.allowed_ports))
        return f"The port is not allowed; allowed are {ports}."
    return None
