"""The history of webhooks and their replay, on a real store with a scripted receiver's outcomes."""

from pathlib import Path
from typing import Any

import pytest

from support.control_world import AUTH_HEADER, WEBHOOK_URL, FakeReply, World
from support.front import TENANT
from tunegate.contract.secret import Secret
from tunegate.contract.webhooks import ReplayRequest
from tunegate.control.principal import Principal
from tunegate.control.records import JobState
from tunegate.control.replaying import history, replay
from tunegate.control.settings import WebhookSettings
from tunegate.sdk.errors import TunegateError
from unit.control_loop.test_outbox import deliver, tell

OTHER_URL = "https://other.example/hook"


class Front:
    """The little that replaying asks of a ControlContext."""

    def __init__(self, world: World) -> None:
        self.store, self.sealer = world.store, world.sealer
        self.storage = None
        self.check_url = lambda url: "no" if "forbidden" in url else None


@pytest.fixture
async def world(tmp_path: Path) -> Any:
    world = World(tmp_path, webhooks=WebhookSettings(schedule_s=(1.0,)))
    await world.sqlite.open()
    yield world
    await world.sqlite.close()


async def failed_job(world: World) -> tuple[Any, str]:
    """A finished job of which the receiver took the first status only."""
    job = await world.submit()
    await deliver(world, 2.0)
    world.receiver.answer = lambda _body: FakeReply(500)
    await tell(world, JobState.FAILED)
    await deliver(world, 30.0)
    world.receiver.answer = lambda _body: FakeReply(200)
    return Front(world), job.job_id


def principal(world: World) -> Principal:
    return TENANT


async def test_the_history_says_what_became_of_each(world: World) -> None:
    front, job_id = await failed_job(world)
    page = await history(front, principal(world), job_id, 0, 10)
    assert [(d.sequence, d.outcome, d.final) for d in page.data] == [
        (1, "delivered", False),
        (2, "dead", True),
    ]
    assert [t.result for t in page.data[1].tries][-1] == "HTTP 500; given up"
    assert not page.has_more
    assert (await history(front, principal(world), job_id, 0, 1)).has_more
    assert WEBHOOK_URL not in str(page)


async def test_a_dead_final_status_is_sent_again_when_asked(world: World) -> None:
    front, job_id = await failed_job(world)
    await world.pass_time(120, step_s=10)
    done = await replay(front, principal(world), job_id, ReplayRequest())
    assert done.replayed == 1
    await deliver(world, 1.0)
    assert world.receiver.statuses() == ["queued", "failed"]
    url, _, sent = world.receiver.posts[-1]
    assert (url, sent["authorization"]) == (WEBHOOK_URL, AUTH_HEADER)
    assert (await replay(front, principal(world), job_id, ReplayRequest())).replayed == 0


async def test_a_new_address_takes_over(world: World) -> None:
    front, job_id = await failed_job(world)
    wanted = ReplayRequest(webhook_url=OTHER_URL, auth_header=Secret("Bearer new"))
    await replay(front, principal(world), job_id, wanted)
    await deliver(world, 1.0)
    url, _, sent = world.receiver.posts[-1]
    assert (url, sent["authorization"]) == (OTHER_URL, "Bearer new")


async def test_the_address_of_a_told_job_is_destroyed_and_can_be_brought_again(
    world: World,
) -> None:
    front, job_id = await failed_job(world)
    await replay(front, principal(world), job_id, ReplayRequest())
    await world.pass_time(90, step_s=10)
    ids = [d.id for d in (await history(front, principal(world), job_id, 0, 10)).data]
    with pytest.raises(TunegateError, match="nobody_to_tell"):
        await replay(front, principal(world), job_id, ReplayRequest(ids=ids))
    again = ReplayRequest(ids=ids, webhook_url=OTHER_URL)
    assert (await replay(front, principal(world), job_id, again)).replayed == 2
    await deliver(world, 1.0)
    assert world.receiver.statuses() == ["queued", "failed", "queued", "failed"]
    assert "authorization" not in world.receiver.posts[-1][2]
    await world.pass_time(90, step_s=10)
    assert await world.store.get_sealed((await world.job()).uid, "callbacks") is None


async def test_the_address_goes_when_the_window_is_over(world: World) -> None:
    front, job_id = await failed_job(world)
    await world.pass_time(31 * 86_400, step_s=3600)
    with pytest.raises(TunegateError, match="nobody_to_tell"):
        await replay(front, principal(world), job_id, ReplayRequest())


@pytest.mark.parametrize(
    ("wanted", "path"),
    [
        (ReplayRequest(webhook_url="https://forbidden.example/"), "$.webhook_url"),
        (ReplayRequest(webhook_url="ftp://host/x"), "$.webhook_url"),
        (ReplayRequest(webhook_url="https://user:pass@host/x"), "$.webhook_url"),
        (ReplayRequest(auth_header=Secret("Bearer canary")), "$.auth_header"),
    ],
)
async def test_what_can_not_be_an_address_is_refused(
    world: World, wanted: ReplayRequest, path: str
) -> None:
    front, job_id = await failed_job(world)
    with pytest.raises(TunegateError) as refused:
        await replay(front, principal(world), job_id, wanted)
    assert [problem.path for problem in refused.value.problems] == [path]
    assert "canary" not in str(refused.value.problems)


async def test_other_tenants_see_nothing(world: World) -> None:
    front, job_id = await failed_job(world)
    for call in (
        history(front, Principal(name="other"), job_id, 0, 10),
        replay(front, Principal(name="other"), job_id, ReplayRequest()),
    ):
        with pytest.raises(TunegateError, match="job_not_found"):
            await call
