"""A name server whose answers stand in the questions: `h7f000001.fix.…` is 127.0.0.1, 32 digits are an IPv6 address.

`hA-hB.both` has both addresses; `hA-hB.flip` has A at the first question and B from then on; `hA.c3.chain` is three
aliases away from A. Everything else does not exist.
"""

import asyncio
import struct
from collections import Counter
from ipaddress import ip_address
from typing import cast

A, CNAME, AAAA = 1, 5, 28
Record = tuple[str, int, bytes]


class NameServer(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.answered = 0
        """How many questions had an address for an answer."""
        self._asked: Counter[tuple[str, int]] = Counter()
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Before Python 3.12 asyncio's own transports of datagrams do not derive from the class for them.
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        assert self._transport is not None
        name, end = _read_name(data, 12)
        kind = int.from_bytes(data[end : end + 2])
        records = self._records(name.lower(), kind)
        self.answered += bool(records)
        code = 0x8580 if records is not None else 0x8583
        head = data[:2] + struct.pack(">HHHHH", code, 1, len(records or ()), 0, 0)
        body = b"".join(_write(record) for record in records or ())
        self._transport.sendto(head + data[12 : end + 4] + body, addr)

    def _records(self, name: str, kind: int) -> list[Record] | None:
        """None: there is no such name."""
        labels = name.split(".")
        if labels[-2:] != ["attack", "example"]:
            return None
        answers = [_packed(text[1:]) for text in labels[0].split("-")]
        match labels[1:-2]:
            case ["fix"] | ["both"]:
                chosen = answers
            case ["flip"]:
                turn = self._asked[name, kind]
                self._asked[name, kind] += 1
                chosen = [answers[min(turn, len(answers) - 1)]]
            case [step, "chain"] if step == "c0":
                chosen = answers
            case [step, "chain"]:
                after = f"{labels[0]}.c{int(step[1:]) - 1}.chain.attack.example"
                return [(name, CNAME, _name(after)), *(self._records(after, kind) or ())]
            case _:
                return None
        wanted = {A: 4, AAAA: 16}.get(kind)
        return [(name, kind, packed) for packed in chosen if len(packed) == wanted]


def _packed(digits: str) -> bytes:
    return ip_address(bytes.fromhex(digits)).packed


def _read_name(data: bytes, at: int) -> tuple[str, int]:
    labels: list[str] = []
    while length := data[at]:
        labels.append(data[at + 1 : at + 1 + length].decode("latin-1"))
        at += 1 + length
    return ".".join(labels), at + 1


def _name(text: str) -> bytes:
    return b"".join(bytes([len(label)]) + label.encode() for label in text.split(".")) + b"\0"


def _write(record: Record) -> bytes:
    name, kind, body = record
    return _name(name) + struct.pack(">HHIH", kind, 1, 0, len(body)) + body
