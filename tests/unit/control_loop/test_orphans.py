"""Runs that an engine holds and nobody accounts for."""

import pytest

from support.control_world import UID, World, running
from support.job_samples import GENERATION
from tunegate.control.launching import run_name
from tunegate.control.store.protocol import Change
from tunegate.sdk.launcher import RunState


@pytest.mark.parametrize("end", [RunState.STOPPED, RunState.ABSENT])
async def test_a_run_that_was_given_up_is_stopped_and_removed_after_a_second_look(
    world: World, end: RunState
) -> None:
    await running(world)
    job = await world.job()
    given_up = Change(
        uid=job.uid,
        version=job.version,
        attempt_number=1,
        attempt_fields={"cleaned": True, "ended_ms": world.clock.now_ms()},
    )
    assert await world.store.apply(given_up)
    stray = run_name(GENERATION, job.uid, 1)
    world.engine.say(stray, RunState.RUNNING)
    world.engine.say("not-ours", RunState.RUNNING)
    orphans = world.reconciler._orphans
    await orphans.sweep()
    assert world.engine.cancelled == []
    world.clock.step(world.control.lease_s + 1)
    await orphans.sweep()
    assert world.engine.cancelled == [stray]
    world.engine.say(stray, end)
    await orphans.sweep()
    assert world.engine.cleaned == [stray]


async def test_a_run_without_any_record_waits_in_quarantine(world: World) -> None:
    stray = run_name(GENERATION, "forgotten", 1)
    world.engine.say(stray, RunState.RUNNING)
    orphans = world.reconciler._orphans
    await orphans.sweep()
    world.clock.step(world.control.orphan_quarantine_s - 1)
    await orphans.sweep()
    assert world.engine.cancelled == []
    world.clock.step(2)
    await orphans.sweep()
    assert world.engine.cancelled == [stray]


async def test_a_run_of_another_life_of_the_store_is_left_alone(world: World) -> None:
    """A restored backup has forgotten jobs that are alive."""
    world.engine.say(run_name("ffffffff", UID, 2), RunState.RUNNING)
    world.engine.say("tg-of-an-older-release-1", RunState.RUNNING)
    for _ in range(3):
        await world.reconciler._orphans.sweep()
        world.clock.step(world.control.orphan_quarantine_s + 1)
    assert world.engine.cancelled == []
    assert world.engine.cleaned == []


async def test_known_runs_are_left_alone(world: World) -> None:
    await running(world)
    for _ in range(3):
        await world.reconciler._orphans.sweep()
        world.clock.step(60)
    assert world.engine.cancelled == []
