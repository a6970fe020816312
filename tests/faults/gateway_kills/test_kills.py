"""kill -9 of a real gateway at numbered moments and at any: what was acknowledged ends well, once, and is told of."""

import asyncio
import os
from pathlib import Path

import pytest

from faults.gateway_kills.campaign import Aim, Tally, lane
from faults.gateway_kills.plants import PLANTS
from faults.report import rounds, write
from tunegate.sdk.testing.postgres_server import PostgresServer

pytestmark = pytest.mark.slow
KILLS_OF_A_LANE = rounds(8, 40)
"""Then its last gateway is left alone, and all must come to a good end."""
LANES = rounds(1, 200)
POSTGRES_LANES = rounds(1, 50)
AT_ONCE = 4
SEED = int(os.environ.get("TUNEGATE_FAULT_SEED", "1"))
PLANTED = rounds(1, len(PLANTS))


async def test_kills_lose_nothing(tmp_path: Path, postgres_server: PostgresServer) -> None:
    tally, aim, turn = Tally(), Aim(SEED), asyncio.Semaphore(AT_ONCE)

    async def one(number: int, environment: dict[str, str]) -> None:
        async with turn:
            home = tmp_path / f"lane-{number}"
            done = await lane(home, KILLS_OF_A_LANE, SEED + number, aim, environment=environment)
            tally.add(done)

    places: list[dict[str, str]] = [{}] * LANES
    places += [
        {"TUNEGATE_DATABASE_URL": postgres_server.create_database()} for _ in range(POSTGRES_LANES)
    ]
    await asyncio.gather(*(one(number, place) for number, place in enumerate(places)))
    caught = {name: await planted(tmp_path, name) for name in list(PLANTS)[:PLANTED]}
    write(
        "gateway-kills", tally.kills.total(), tally.violations,
        planted_bug_caught=all(caught.values()), kills=tally.kills, moments=len(tally.moments),
        jobs=tally.jobs, acknowledged=tally.acknowledged, planted=caught, seed=SEED,
        postgres=POSTGRES_LANES * KILLS_OF_A_LANE,
    )  # fmt: skip
    assert tally.violations == []
    assert tally.acknowledged
    assert all(caught.values()), caught


async def planted(home: Path, name: str) -> bool:
    """Whether the bug is seen, killed where it hurts."""
    only, tries = PLANTS[name].killed_at, 6
    for number in range(tries):
        folder = home / f"{name}-{number}".replace(" ", "-")
        aim = Aim(SEED + number, only)
        tally = await lane(folder, 3, SEED + number, aim, plant=name, patience_s=6.0)
        if any(PLANTS[name].seen_as in text for text in tally.violations):
            return True
    return False
