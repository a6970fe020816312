"""Addresses that try to lead a server where it must not go: a few dozen targets in every disguise that is known.

Names are answered by `dns.py`, which reads the answer off the name itself.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

PUBLIC = IPv4Address("93.184.216.34")
"""Where the attacker's own servers are: they may be dialled."""
PUBLIC6 = IPv6Address("2606:2800:220:1::1")
_V4 = """127.0.0.1 127.0.0.2 127.1.2.3 127.255.255.254 0.0.0.0 0.0.0.1 0.255.255.255 10.0.0.1 10.1.2.3 10.255.255.255
172.16.0.1 172.31.255.255 192.168.0.1 192.168.1.1 192.168.255.255 100.64.0.1 100.100.100.200 100.127.255.255
169.254.169.254 169.254.170.2 169.254.170.23 169.254.0.1 168.63.129.16 192.0.0.1 192.0.0.192 192.0.2.1 192.88.99.1
198.18.0.1 198.19.255.255 198.51.100.1 203.0.113.1 224.0.0.1 224.0.0.251 239.255.255.250 240.0.0.1 250.1.2.3
255.255.255.255""".split()  # noqa: SIM905
_V6 = """:: ::1 ::2 100::1 64:ff9b::a9fe:a9fe 64:ff9b:1::a00:1 2001::1 2001:0:7f00:1:: 2001:10::1 2001:20::1 2001:2::1
2001:db8::1 2002:7f00:1:: 2002:a9fe:a9fe:: 3fff::1 5f00::1 fc00::1 fd00:ec2::254 fd00:ec2::23 fd20:ce::254 fd00:42::42
fd12:3456::1 fec0::1 feff::1 ff02::1 ff05::2 ff0e::1 2600:1f00::5efe:a00:1 2600:1f00::200:5efe:7f00:1
2606:4700::5efe:a9fe:a9fe""".split()  # noqa: SIM905
_WIDE = str.maketrans("0123456789.", "０１２３４５６７８９．")  # noqa: RUF001
_RINGED = str.maketrans("123456789", "①②③④⑤⑥⑦⑧⑨")


@dataclass(frozen=True, slots=True)
class Attack:
    """`kind` names the disguise; `host` is what stands in a URL between the slashes, `path` the rest of it."""

    kind: str
    host: str
    path: str = "/"

    def url(self, scheme: str = "http") -> str:
        return f"{scheme}://{self.host}{self.path}"


def corpus() -> list[Attack]:
    """Every attack once, in an order that mixes the kinds; always the same."""
    found = list(dict.fromkeys(_all()))
    random.Random(7).shuffle(found)
    return found


def _all() -> Iterator[Attack]:
    for text in _V4:
        target = IPv4Address(text)
        yield from _spelled(target)
        yield from _embedded(target)
        yield from _around(text)
        yield from _named(f"{int(target):08x}")
        yield from _redirected(text, f"{int(target):08x}")
    for text in _V6:
        target6 = IPv6Address(text)
        yield from _spelled6(target6)
        yield from _around(f"[{text}]")
        yield from _named(f"{int(target6):032x}")
        yield from _redirected(f"[{text}]", f"{int(target6):032x}")
    yield from _local_names()


def _spelled(target: IPv4Address) -> Iterator[Attack]:
    number, (a, b, c, d) = int(target), target.packed
    spellings = {
        "dotted": f"{target}",
        "trailing dot": f"{target}.",
        "decimal": f"{number}",
        "hex": f"{number:#x}",
        "upper hex": f"0X{number:X}",
        "long hex": f"0x00000000{number:08x}",
        "octal": f"0{number:o}",
        "dotted octal": f"0{a:o}.0{b:o}.0{c:o}.0{d:o}",
        "zeros": f"0{a:03o}.0{b:03o}.0{c:03o}.0{d:03o}",
        "long octal": f"0000{a:o}.{b}.{c}.{d}",
        "dotted hex": f"{a:#x}.{b:#x}.{c:#x}.{d:#x}",
        "mixed": f"{a:#x}.0{b:o}.{c}.{d:#04x}",
        "two parts": f"{a}.{number & 0xFFFFFF}",
        "three parts": f"{a}.{b}.{number & 0xFFFF}",
        "two hex parts": f"{a:#x}.{number & 0xFFFFFF:#x}",
        "wide digits": f"{target}".translate(_WIDE),
        "ringed digits": f"{target}".translate(_RINGED),
        "ideographic dots": f"{target}".replace(".", "。"),
        "half dots": f"{target}".replace(".", "｡"),
        "percent": "".join(f"%{ord(char):02x}" for char in f"{target}"),
        "half percent": f"{target}".replace(".", "%2e"),
        "with a port": f"{target}:80",
        "beyond": f"{a + 256}.{b}.{c}.{d}",
    }
    for kind, host in spellings.items():
        yield Attack(kind, host)


def _embedded(target: IPv4Address) -> Iterator[Attack]:
    high, low = int(target) >> 16, int(target) & 0xFFFF
    halves = f"{high:x}:{low:x}"
    forms = {
        "mapped": f"::ffff:{target}",
        "mapped hex": f"::ffff:{halves}",
        "mapped long": f"0:0:0:0:0:FFFF:{halves}",
        "compatible": f"::{target}",
        "translated": f"::ffff:0:{target}",
        "nat64": f"64:ff9b::{target}",
        "local nat64": f"64:ff9b:1::{halves}",
        "6to4": f"2002:{halves}::1",
        "isatap": f"2600:1f00::5efe:{halves}",
        "teredo": f"2001:0:{halves}::{high ^ 0xFFFF:x}:{low ^ 0xFFFF:x}",
        "mapped zone": f"::ffff:{target}%25lo",
    }
    for kind, host in forms.items():
        yield Attack(kind, f"[{host}]")


def _spelled6(target: IPv6Address) -> Iterator[Attack]:
    long = target.exploded
    for kind, host in {
        "v6": f"{target}",
        "v6 long": long,
        "v6 upper": long.upper(),
        "v6 zone": f"{target}%25lo",
        "v6 numbered zone": f"{target}%251",
        "v6 raw zone": f"{target}%lo",
    }.items():
        yield Attack(kind, f"[{host}]")
    yield Attack("v6 with a port", f"[{target}]:80")


def _around(host: str) -> Iterator[Attack]:
    """What one parser takes for the host and another one for something else."""
    yield Attack("user", f"{PUBLIC}@{host}")
    yield Attack("password", f"{PUBLIC}:80@{host}")
    yield Attack("encoded at", f"{PUBLIC}%40{host}")
    yield Attack("two ats", f"a@{PUBLIC}@{host}")
    yield Attack("backslash", f"{PUBLIC}\\@{host}")
    yield Attack("fragment", f"{host}#@{PUBLIC}")
    yield Attack("query", f"{host}?@{PUBLIC}")
    yield Attack("tab", f"{host[:2]}\t{host[2:]}")
    yield Attack("line break", f"{host}\r\nHost: {PUBLIC}")
    yield Attack("nul", f"{host}%00.{PUBLIC}")
    yield Attack("three slashes", f"/{host}")


def _named(answer: str) -> Iterator[Attack]:
    good = f"{int(PUBLIC):08x}"
    for kind, name in {
        "name": f"h{answer}.fix",
        "upper name": f"H{answer}.FIX",
        "rooted name": f"h{answer}.fix.attack.example.",
        "chain of 1": f"h{answer}.c1.chain",
        "chain of 5": f"h{answer}.c5.chain",
        "second answer": f"h{good}-h{answer}.both",
        "first answer": f"h{answer}-h{good}.both",
        "rebinding": f"h{good}-h{answer}.flip",
        "late rebinding": f"h{good}-h{good}-h{answer}.flip",
    }.items():
        yield Attack(kind, name if name.endswith(".") else f"{name}.attack.example")


def _redirected(host: str, answer: str) -> Iterator[Attack]:
    good = f"h{int(PUBLIC):08x}.fix.attack.example"
    for status in (301, 302, 303, 307, 308):
        yield Attack(f"redirect {status}", str(PUBLIC), f"/to/{status}/http://{host}/")
    yield Attack("redirect without scheme", str(PUBLIC), f"/to/302///{host}/")
    yield Attack("redirect to name", good, f"/to/302/http://h{answer}.fix.attack.example/")
    yield Attack("two redirects", good, f"/to/302/http://{PUBLIC}/to/307/http://{host}/")
    yield Attack("redirect over v6", f"[{PUBLIC6}]", f"/to/302/http://{host}/")


def _local_names() -> Iterator[Attack]:
    for name in ("localhost", "LOCALHOST", "localhost.", "a.localhost", "ⓛⓞⓒⓐⓛⓗⓞⓢⓣ", "loc%61lhost"):
        yield Attack("local name", name)
        yield Attack("local name", f"{name}:80")
    for name in (
        "ip6-localhost",
        "ip6-loopback",
        "localhost.localdomain",
        "metadata.google.internal",
    ):
        yield Attack("known name", name)
