"""What this process may dial. Libraries of the trainer (the model hub, trackers) dial by themselves, so the check hangs
on the interpreter: every connect of a Python socket passes it, whoever asks.

It can't be taken off again, and it does not see what other languages dial: NCCL and Gloo among the ranks of a job. W&B's
helper process dials through `trackers.relay`, and the hub's Xet downloader is off: see `__main__`.
"""

import errno
import socket
import sys
from collections.abc import Iterable
from ipaddress import ip_address
from urllib.parse import urlsplit

from tunegate.contract.training import StoragePolicy
from tunegate.egress.addresses import Address, refusal
from tunegate.egress.policy import DEFAULT_PORTS, EgressPolicy
from tunegate.storage.policy import egress_policy

Peer = tuple[str, int | None]
"""Host and port (None = any) that the operator or the launcher named."""

_FAMILIES = frozenset({socket.AF_INET, socket.AF_INET6})
_EVENTS = frozenset({"socket.connect", "socket.sendto", "socket.sendmsg"})


class Dialling:
    """The rules of one process."""

    def __init__(self, policy: StoragePolicy, peers: Iterable[Peer] = ()) -> None:
        self._policy = egress_policy(policy)
        self._networks = self._policy.networks()
        self._peers = [*peers, *_proxy(self._policy)]

    def check(self, place: tuple[str | bytes, int]) -> None:
        """Raises PermissionError for an address that the policy forbids."""
        host, port = place[0], place[1]
        address = _parse(host.decode() if isinstance(host, bytes) else host)
        words = self._refusal(address)
        if words is None or (address is not None and self._is_peer(address, port)):
            return
        raise PermissionError(errno.EACCES, f"The host is {words}, which is not allowed")

    def _refusal(self, address: Address | None) -> str | None:
        if address is None:
            # The kernel's own resolver would have the last word, and could say another one than ours.
            return "a name where an address belongs"
        if self._policy.proxy_url is not None:
            return "not the proxy"
        return refusal(
            address,
            allow_private=self._policy.allow_private_addresses,
            allowed_networks=self._networks,
        )

    def _is_peer(self, address: Address, port: int) -> bool:
        """Names are looked up each time: a gateway may move."""
        return any(
            address in _addresses(host)
            for host, wanted in self._peers
            if wanted is None or wanted == port
        )


def guard(policy: StoragePolicy, peers: Iterable[Peer]) -> None:
    """From now on, for the whole process."""
    dialling = Dialling(policy, peers)

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if event not in _EVENTS:
            return
        line, place = arguments
        if isinstance(line, socket.SocketType) and line.family in _FAMILIES:
            dialling.check(place)  # pyright: ignore[reportArgumentType]  an address of these families

    sys.addaudithook(hook)


def peer_of(url: str) -> Peer:
    """The host and port that a URL leads to."""
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or DEFAULT_PORTS.get(parts.scheme)


def _proxy(policy: EgressPolicy) -> list[Peer]:
    return [peer_of(policy.proxy_url)] if policy.proxy_url is not None else []


def _parse(host: str) -> Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None


def _addresses(host: str) -> set[Address]:
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:
        return set()
    return {ip_address(place[0]) for *_, place in found}
