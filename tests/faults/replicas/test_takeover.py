"""A replica that is killed or frozen with jobs in its hands: the other one takes them up in time, and none runs twice."""

from pathlib import Path

import pytest

from faults.replicas.campaign import LEASE_S, TAKE_OVER_S, How, campaign
from faults.report import rounds, write
from tunegate.sdk.testing.postgres_server import PostgresServer

pytestmark = pytest.mark.slow
TRIALS = rounds(1, 20)
"""Of each kind."""
HOWS: tuple[How, How] = ("killed", "frozen")


async def test_the_other_replica_takes_over(
    tmp_path: Path, postgres_server: PostgresServer
) -> None:
    took_s: dict[How, list[float]] = {how: [] for how in HOWS}
    async with campaign(tmp_path, postgres_server.create_database()) as running:
        for number in range(TRIALS):
            for which, how in enumerate(HOWS):
                queued = (number + which) % 2 == 0
                took_s[how].append(await running.trial(how, queued=queued))
        caught = await running.nobody_there() > TAKE_OVER_S
        violations = await running.end()
    violations += [
        f"{how}: {each} s" for how, all_s in took_s.items() for each in all_s if each > TAKE_OVER_S
    ]
    write(
        "takeover",
        2 * TRIALS,
        violations,
        planted_bug_caught=caught,
        lease_s=LEASE_S,
        short_jobs=len(running.short),
        catches=running.catches,
        **{
            f"{how}_p50_s": round(sorted(all_s)[len(all_s) // 2], 3)
            for how, all_s in took_s.items()
        },
        **{f"{how}_max_s": round(max(all_s), 3) for how, all_s in took_s.items()},
    )
    assert violations == []
    assert caught
