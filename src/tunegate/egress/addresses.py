"""Which IP addresses may be dialled: tables and one pure function.

`ipaddress.is_global` is no guard: it lets through NAT64 (64:ff9b::/96), IPv4-compatible (::/96), multicast, site-local and
6to4 addresses and the metadata service of one large cloud, so the ranges are written out here.
"""

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address

_GLOBAL_IPV6 = IPv6Network("2000::/3")
_ISATAP = frozenset({0x0000_5EFE, 0x0200_5EFE})
"""The upper half of the interface part of ISATAP addresses, in any network; the lower half is an IPv4 address."""


def _table(entries: dict[str, str]) -> tuple[tuple[Network, str], ...]:
    return tuple((ip_network(cidr), words) for cidr, words in entries.items())


_NEVER = _table({
    "0.0.0.0/8": "an unspecified address",
    "100.100.100.200/32": "a cloud metadata address",
    "168.63.129.16/32": "a cloud metadata address",
    "169.254.0.0/16": "a link-local address",
    "192.0.0.0/24": "a reserved address",
    "192.0.2.0/24": "a documentation address",
    "192.88.99.0/24": "a reserved address",
    "198.18.0.0/15": "a benchmarking address",
    "198.51.100.0/24": "a documentation address",
    "203.0.113.0/24": "a documentation address",
    "224.0.0.0/4": "a multicast address",
    "240.0.0.0/4": "a reserved address",
    "2001::/23": "a reserved address",
    "2001:db8::/32": "a documentation address",
    "2002::/16": "an IPv4 address in disguise",
    "3fff::/20": "a documentation address",
    "::/128": "an unspecified address",
    "::ffff:0:0/96": "an IPv4 address in disguise",
    "64:ff9b::/96": "an IPv4 address in disguise",
    "fd00:42::42/128": "a cloud metadata address",
    "fd00:ec2::/32": "a cloud metadata address",
    "fd20:ce::254/128": "a cloud metadata address",
    "fe80::/10": "a link-local address",
    "ff00::/8": "a multicast address",
})  # fmt: skip
"""Refused even where private addresses are allowed; only `allowed_networks` opens them."""

_PRIVATE = _table({
    "10.0.0.0/8": "a private address",
    "100.64.0.0/10": "a private address",
    "127.0.0.0/8": "a loopback address",
    "172.16.0.0/12": "a private address",
    "192.168.0.0/16": "a private address",
    "::1/128": "a loopback address",
    "fc00::/7": "a private address",
})  # fmt: skip


def refusal(
    address: Address, *, allow_private: bool, allowed_networks: Sequence[Network] = ()
) -> str | None:
    """Why `address` must not be dialled ("a loopback address"), or None when it may be."""
    if _within(address, allowed_networks):
        return None
    for network, words in _NEVER:
        if _within(address, (network,)):
            return words
    for network, words in _PRIVATE:
        if _within(address, (network,)):
            return None if allow_private else words
    if isinstance(address, IPv6Address):
        if address not in _GLOBAL_IPV6:
            return "not a public address"
        if int(address) >> 32 & 0xFFFF_FFFF in _ISATAP:
            return "an IPv4 address in disguise"
    return None


@lru_cache(maxsize=1024)
def parse(host: str) -> Address | None:
    """The address that a literal stands for, in any spelling that resolvers take (0x7f.1, 017700000001); None for names."""
    host = host.removesuffix(".").replace("%25", "%")
    try:
        return ip_address(host)
    except ValueError:
        return _parse_legacy(host)


def _parse_legacy(host: str) -> IPv4Address | None:
    # The classic spellings of inet_aton: 1-4 parts in decimal, octal or hex, the last filling the rest.
    parts = host.lower().split(".")
    if len(parts) > 4:
        return None
    try:
        *heads, last = [_number(part) for part in parts]
    except ValueError:
        return None
    room = 256 ** (4 - len(heads))
    if last >= room or any(head > 255 for head in heads):
        return None
    prefix = int.from_bytes(bytes(heads)) * room
    return IPv4Address(prefix + last)


def _number(text: str) -> int:
    if not text.isascii() or not text.isalnum():
        raise ValueError
    if text.startswith("0x"):
        return int(text[2:] or "0", 16)
    return int(text, 8 if text.startswith("0") else 10)


def _within(address: Address, networks: Sequence[Network]) -> bool:
    # The scope of fe80::1%eth0 is no part of the address, and the two versions never contain each other.
    plain = IPv6Address(int(address)) if isinstance(address, IPv6Address) else address
    return any(plain.version == network.version and plain in network for network in networks)
