"""Tenants that try to reach what belongs to others: nobody sees, changes, starts or uses anything that is not his."""

import random
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from faults.report import rounds, write
from faults.tenants.caller import Caller
from faults.tenants.world import world
from tunegate.control import addresses
from tunegate.control.store.sql import jobs
from tunegate.sdk.testing.postgres_server import PostgresServer

pytestmark = pytest.mark.slow
TRIED = rounds(1_500, 95_000)
TRIED_ON_POSTGRES = rounds(200, 5_000)
PLANTED = rounds(400, 2_000)
BATCH = 50


@dataclass
class Bug:
    """Something of the product that is replaced by something wrong."""

    place: Any
    name: str
    wrong: Any
    patch: pytest.MonkeyPatch | None = None

    def plant(self) -> None:
        assert self.patch is not None
        self.patch.setattr(self.place, self.name, self.wrong)


def begins_so(place: Any, prefix: Any) -> bool:
    return "/".join(place[2]).startswith("/".join(prefix[2])) and place[0] == prefix[0]


WITHOUT_TENANT = jobs._FIND.replace("tenant = :tenant AND ", "") + " ORDER BY number LIMIT 1"
BUGS = {
    "jobs are found by their name alone": Bug(jobs, "_FIND", WITHOUT_TENANT),
    "what begins like a prefix lies below it": Bug(addresses, "lies_below", begins_so),
}


async def campaign(
    folder: Path, count: int, seed: int, database: str | None = None, bug: Bug | None = None
) -> Caller:
    """With `bug` the product is broken once the world stands."""
    async with world(folder, database) as made:
        if bug is not None:
            bug.plant()
        caller = Caller(made, random.Random(seed))
        while caller.tried < count:
            await caller.batch(min(BATCH, count - caller.tried))
    return caller


async def test_nobody_crosses(tmp_path: Path, postgres_server: PostgresServer) -> None:
    began_s = time.monotonic()
    caller = await campaign(tmp_path / "sqlite", TRIED, 1)
    per_s = caller.tried / (time.monotonic() - began_s)
    database = postgres_server.create_database()
    beside = await campaign(tmp_path / "postgres", TRIED_ON_POSTGRES, 2, database)
    found = caller.violations + beside.violations
    planted = {
        name: await violations_with(bug, tmp_path / f"bug-{number}")
        for number, (name, bug) in enumerate(BUGS.items())
    }
    write(
        "tenants",
        caller.tried + beside.tried,
        found,
        planted_bug_caught=all(planted.values()),
        planted=planted,
        on_postgres=beside.tried,
        statuses={str(status): n for status, n in sorted(caller.statuses.items())},
        calls_per_s=round(per_s),
    )
    assert not found, found[:5]
    assert all(planted.values())
    assert {200, 201, 401, 403, 404, 422} <= caller.statuses.keys(), "all kinds of verdicts"


async def violations_with(bug: Bug, folder: Path) -> int:
    with pytest.MonkeyPatch.context() as patch:
        bug.patch = patch
        return len((await campaign(folder, PLANTED, 3, bug=bug)).violations)
