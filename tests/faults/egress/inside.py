"""`python -m faults.egress.inside CHANNEL COUNT on|off`: one channel against the corpus, in a namespace of its own.

Prints how many attempts ended how, what the attacker's servers gave, and every packet that went to a place other than
those. `off` takes the guard away, to show that packets are seen.
"""

import asyncio
import json
import logging
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address

from faults.egress.channels import CHANNELS, OTHER, REFUSED, Channel
from faults.egress.corpus import PUBLIC, PUBLIC6, Attack, corpus
from faults.egress.namespace import NAME_SERVER, OWN, Packets, prepare
from faults.egress.servers import Servers

TOGETHER = {"s3 endpoint": 8, "sts endpoint": 8}
"""Attempts at once, where not 64: making a client of S3 takes the processor, and would use up the others' patience."""
PATIENCE_S = 30
FINE = {str(ip_address(text)) for text in (NAME_SERVER, *OWN, str(PUBLIC), str(PUBLIC6))}


async def run(name: str, attacks: list[Attack]) -> dict[str, object]:
    packets, servers, ends = Packets(), Servers(), Counter[str]()
    strays: list[str] = []
    await servers.start()
    together = TOGETHER.get(name, 64)
    # Resolvers and libraries work in threads: none shall wait for its turn until nobody waits for it.
    threads = ThreadPoolExecutor(2 * together)
    asyncio.get_running_loop().set_default_executor(threads)

    def look(batch: list[Attack]) -> None:
        went = {place for place in packets.take() if place.partition("/")[0] not in FINE}
        strays.extend(f"{place} during {[a.url() for a in batch]}" for place in sorted(went))

    for start in range(0, len(attacks), together):
        batch = attacks[start : start + together]
        for end in await asyncio.gather(*(_try(CHANNELS[name], attack) for attack in batch)):
            ends[end] += 1
        look(batch)
    await asyncio.get_running_loop().shutdown_default_executor()
    look([])
    given = servers.given | Counter({"name": servers.names.answered})
    return {"tried": len(attacks), "ends": ends, "strays": strays, "given": given}


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
    print(json.dumps(asyncio.run(run(name, corpus()[: int(count)]))))


if __name__ == "__main__":
    main()
