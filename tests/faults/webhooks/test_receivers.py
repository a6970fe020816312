"""Receivers down, slow, flapping and hanging: every final status arrives, and healthy ones do not wait for sick ones."""

from pathlib import Path

import pytest

from faults.report import rounds, write
from faults.webhooks.campaign import campaign
from faults.webhooks.checker import first_try_p99_ms, violations
from tunegate.control import outbox

pytestmark = pytest.mark.slow
JOBS = rounds(200, 10_000)
JOBS_PER_S = rounds(50, 150)


async def test_sick_receivers_hurt_nobody_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with campaign(tmp_path / "real", JOBS_PER_S) as real:
        log = await real.run(JOBS)
        found = violations(log, real.due)
        p99_ms = first_try_p99_ms(log, real.due)
    # The planted bug: a slow receiver keeps its slot, and there are few of them.
    monkeypatch.setattr(outbox, "QUICK_S", 3600.0)
    monkeypatch.setattr(outbox, "SLOTS", 8)
    async with campaign(tmp_path / "broken", 50) as broken:
        caught = any("first try" in text for text in violations(await broken.run(200), broken.due))
    write(
        "webhook-receivers",
        JOBS,
        found,
        planted_bug_caught=caught,
        tries=len(log),
        healthy_first_try_p99_ms=p99_ms,
        hanging_receivers=len({line[1] for line in log if line[1].startswith("hang-")}),
    )
    assert found == []
    assert caught
