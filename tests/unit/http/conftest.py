import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from litestar import Litestar
from litestar.testing import AsyncTestClient

from support.door import CANONICAL, TOKENS, FakeJobs, count_jobs
from tunegate.http.app import create_app
from tunegate.http.auth import Authenticator
from tunegate.http.facade import Context
from tunegate.http.meters import Meters
from tunegate.http.settings import ServerSettings
from tunegate.http.streams import Streams

AppFactory = Callable[..., Litestar]


@pytest.fixture
def jobs() -> FakeJobs:
    return FakeJobs()


@pytest.fixture
def make_app(jobs: FakeJobs) -> AppFactory:
    def make(tokens: Any = TOKENS, **settings: Any) -> Litestar:
        server = ServerSettings(**({"access_log": False} | settings))
        context = Context(jobs, server, Streams(server.max_streams), Meters(count_jobs))
        return create_app(context, Authenticator(tokens, metrics_open=server.metrics_open))

    return make


@pytest.fixture
async def client(make_app: AppFactory) -> AsyncIterator[AsyncTestClient[Litestar]]:
    async with AsyncTestClient(
        make_app(), base_url="http://127.0.0.1", raise_server_exceptions=False
    ) as opened:
        yield opened


@pytest.fixture
def canonical() -> dict[str, Any]:
    return json.loads(CANONICAL)
