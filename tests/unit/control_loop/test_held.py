"""A process that was frozen acts on nothing whose lease ran out meanwhile."""

from pathlib import Path

from support.control_world import FakeEngine, World
from support.job_samples import job
from tunegate.control.held import Held


def test_a_lease_ends_by_time_and_by_loss() -> None:
    held = Held()
    held.take(job(lease_until_ms=1000))
    assert held.may_act("uid-job-1", 999)
    assert not held.may_act("uid-job-1", 1000)
    held.renewed(["uid-job-1", "gone"], {"uid-job-1"}, 2000)
    assert held.may_act("uid-job-1", 1999)
    held.renewed(["uid-job-1"], set(), 3000)
    assert not held.may_act("uid-job-1", 0)
    assert held.uids() == ["uid-job-1"]
    held.drop("uid-job-1")
    assert not held.may_act("uid-job-1", 0)


async def test_a_frozen_process_calls_no_engine_and_writes_nothing(tmp_path: Path) -> None:
    world = World(tmp_path)
    await world.sqlite.open()
    engine = world.engine
    assert isinstance(engine, FakeEngine)
    await world.submit()
    [late] = await world.reconciler.lease(1)
    world.clock.step(world.control.lease_s)
    await world.reconciler.tend(late)
    assert engine.created == []
    assert await world.job() == late
    [mine] = await world.reconciler.lease(1)
    await world.reconciler.tend(mine)
    assert len(engine.created) == 1
    await world.sqlite.close()
