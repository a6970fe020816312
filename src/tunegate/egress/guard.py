"""The guard at the socket: the last place before the kernel, so that no name, redirect or spelling gets around it."""

import socket
from collections.abc import Callable
from ipaddress import ip_address
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver

from tunegate.egress.addresses import refusal
from tunegate.egress.policy import EgressPolicy, EgressRefused, parse_url

AddrInfo = tuple[Any, Any, int, str, tuple[Any, ...]]
SocketFactory = Callable[[AddrInfo], socket.socket]


def guarded_socket_factory(policy: EgressPolicy) -> SocketFactory:
    """A `socket_factory` for aiohttp connectors that raises EgressRefused for an address the policy forbids."""
    networks = policy.networks()
    proxy_port = None if policy.proxy_url is None else parse_url(policy.proxy_url).port

    def make_socket(info: AddrInfo) -> socket.socket:
        family, kind, protocol, _, (host, port, *_) = info
        # Through a proxy the only address dialled is the proxy's, and that is the operator's own word.
        if proxy_port is not None:
            if port != proxy_port:
                raise EgressRefused("The address is not the proxy's.")
        else:
            words = refusal(
                ip_address(host),
                allow_private=policy.allow_private_addresses,
                allowed_networks=networks,
            )
            if words is not None:
                raise EgressRefused(f"The host is {words}, which is not allowed.")
            if policy.allowed_ports and port not in policy.allowed_ports:
                raise EgressRefused("The port is not allowed.")
        return socket.socket(family, kind, protocol)

    return make_socket


class GuardedConnector(aiohttp.TCPConnector):
    """A TCP connector whose every dial passes the policy."""

    def __init__(self, policy: EgressPolicy, resolver: AbstractResolver | None = None) -> None:
        super().__init__(
            socket_factory=guarded_socket_factory(policy),
            resolver=resolver,
            limit=0,  # whoever dials bounds what is open: a hundred hanging receivers must not fill a pool
            # Dials race in tasks otherwise, and a refusal would drown among their errors.
            happy_eyeballs_delay=None,
        )
