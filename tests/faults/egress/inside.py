"""`python -m faults.egress.inside CHANNEL COUNT on|off`: one channel against the corpus, in a namespace of its own.

Prints how many attempts ended how, and every packet that went to a place other than the attacker's own servers.
`off` takes the guard away, to show that packets are seen.
"""

import asyncio
import json
import logging
import sys
from collections import Counter
from ipaddress import ip_address

from faults.egress.channels import CHANNELS, OTHER, REFUSED, Channel
from faults.egress.corpus import PUBLIC, PUBLIC6, Attack, corpus
from faults.egress.dns import NameServer
from faults.egress.namespace import NAME_SERVER, OWN, Packets, prepare
from faults.report import rounds

TOGETHER = 64
PATIENCE_S = rounds(3, 6)
FINE = {str(ip_address(text)) for text in (NAME_SERVER, *OWN, str(PUBLIC), str(PUBLIC6))}


async def run(channel: Channel, attacks: list[Attack]) -> dict[str, object]:
    packets, ends = Packets(), Counter[str]()
    strays: list[str] = []
    await _serve()
    for start in range(0, len(attacks), TOGETHER):
        batch = attacks[start : start + TOGETHER]
        for end in await asyncio.gather(*(_try(channel, attack) for attack in batch)):
            ends[end] += 1
        went = {place for place in packets.take() if place.partition("/")[0] not in FINE}
        strays += [f"{place} during {[a.url() for a in batch]}" for place in sorted(went)]
    return {"tried": len(attacks), "ends": ends, "strays": strays}


async def _try(channel: Channel, attack: Attack) -> str:
    try:
        async with asyncio.timeout(PATIENCE_S):
            await channel(attack)
    except REFUSED:
        return "refused"
    except OTHER:
        return "failed"
    except TimeoutError:
        return "no end"
    return "through"


async def _serve() -> None:
    """On every address: web servers that redirect as asked, and a name server."""
    loop = asyncio.get_running_loop()
    await loop.create_datagram_endpoint(NameServer, local_addr=(NAME_SERVER, 53))
    for port in (80, 443):
        await asyncio.start_server(_answer, "::", port, backlog=1024)
        await asyncio.start_server(_answer, "0.0.0.0", port, backlog=1024)


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        path = head.split(" ", 2)[1]
        status, location = 404, ""
        if path.startswith("/to/"):
            _, _, code, target = path.split("/", 3)
            status, location = int(code), f"Location: {target}\r\n"
        answer = f"HTTP/1.1 {status} x\r\n{location}Content-Length: 0\r\nConnection: close\r\n\r\n"
        writer.write(answer.encode("latin-1"))
        await writer.drain()
    except (
        OSError,
        ValueError,
        IndexError,
        asyncio.IncompleteReadError,
        asyncio.LimitOverrunError,
    ):
        pass
    finally:
        writer.close()


def take_the_guard_away() -> None:
    """The planted bug."""
    from tunegate.egress import guard, policy
    from tunegate.trainer import dialling

    for module in (guard, policy, dialling):
        module.refusal = lambda *_, **__: None  # type: ignore[assignment]


def main() -> None:
    name, count, state = sys.argv[1:]
    prepare()
    logging.disable()
    if state == "off":
        take_the_guard_away()
    elif name == "trainer library":
        from faults.egress.channels import STORAGE
        from tunegate.trainer.dialling import guard

        guard(STORAGE, [])
    print(json.dumps(asyncio.run(run(CHANNELS[name], corpus()[: int(count)]))))


if __name__ == "__main__":
    main()
