"""Too much at once: a 503 that says when to come back, never a queue without end."""

import asyncio

import pytest

from support.asgi import call
from support.door import CANONICAL, READER, WRITER, FakeJobs, event, job
from support.server import until
from tunegate.http.pressure import Pressure
from tunegate.sdk.errors import TunegateError

from .conftest import AppFactory

JSON = WRITER | {"content-type": "application/json"}


class SlowJobs(FakeJobs):
    """Submissions wait until they are let go."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = asyncio.Event()

    async def submit(self, *arguments: object, **named: object) -> object:
        await self.gate.wait()
        return await super().submit(*arguments, **named)  # type: ignore[arg-type]


@pytest.fixture
def jobs() -> FakeJobs:
    return SlowJobs()


async def test_beyond_the_limit_requests_are_turned_away_and_probes_are_not(
    make_app: AppFactory, jobs: SlowJobs
) -> None:
    app = make_app(max_requests=2)
    waiting = [asyncio.create_task(call(app, "POST", "/train", JSON, CANONICAL)) for _ in range(2)]
    await until(lambda: app.state.pressure.requests == 2)
    answer = await call(app, "POST", "/train", JSON, CANONICAL)
    assert (answer.status, answer.json()["code"]) == (503, "unavailable")
    assert answer.headers["retry-after"] == "1"
    for path in ("/healthz", "/readyz", "/metrics"):
        assert (await call(app, "GET", path, READER)).status == 200
    jobs.gate.set()
    assert {(await task).status for task in waiting} == {200, 201}
    assert (await call(app, "GET", "/train", READER)).status == 200
    assert (app.state.pressure.requests, app.state.pressure.body_bytes) == (0, 0)


async def test_bodies_share_one_allowance(make_app: AppFactory, jobs: SlowJobs) -> None:
    app = make_app(max_body_memory_bytes=len(CANONICAL) + 100)
    first = asyncio.create_task(call(app, "POST", "/train", JSON, CANONICAL))
    await until(lambda: app.state.pressure.body_bytes >= len(CANONICAL))
    assert (await call(app, "POST", "/train", JSON, CANONICAL)).status == 503
    jobs.gate.set()
    assert (await first).status == 201
    assert (await call(app, "POST", "/train", JSON, CANONICAL)).status == 200


async def test_streams_do_not_count_as_requests(make_app: AppFactory, jobs: SlowJobs) -> None:
    jobs.add(job("a", status="failed"), event(1, "failed"))
    app = make_app(max_requests=1)
    answer = await call(app, "GET", "/train/a/events", READER)
    assert answer.status == 200
    assert app.state.pressure.requests == 0


def test_trouble_is_what_lasts() -> None:
    now_s = 100.0
    pressure = Pressure(0, 0, unready_s=10, now_s=lambda: now_s)

    def refuse() -> None:
        with pytest.raises(TunegateError):
            pressure.enter()

    assert pressure.trouble() is None
    refuse()
    assert pressure.trouble() is None
    for _ in range(10):
        now_s += 1.5
        refuse()
    assert pressure.trouble()
    now_s += 3
    assert pressure.trouble() is None, "it is over"
    refuse()
    assert pressure.trouble() is None, "and begins anew"
    assert pressure.refused == 12


async def test_readiness_tells_of_trouble(
    make_app: AppFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = make_app()
    monkeypatch.setattr(app.state.pressure, "trouble", lambda: "More than it can do.")
    answer = await call(app, "GET", "/readyz", {})
    assert (answer.status, answer.json()["detail"]) == (503, "More than it can do.")
    assert (await call(app, "GET", "/healthz", {})).status == 200
