"""A gateway that is started beside its database waits for it; one whose database never comes says why and ends."""

import asyncio
import json
from pathlib import Path

import aiohttp
import pytest

from tunegate.sdk.testing.gateway_process import GatewayProcess
from tunegate.sdk.testing.postgres_server import PostgresServer

pytestmark = pytest.mark.slow


def said(gateway: GatewayProcess, event: str) -> list[str]:
    """The reasons that its log gives for an event, so far."""
    lines = gateway.log_file.read_text().splitlines() if gateway.log_file.exists() else []
    found = [json.loads(line) for line in lines if line.startswith("{")]
    return [line["reason"] for line in found if line["event"] == event]


async def test_a_database_that_comes_later_is_waited_for(tmp_path: Path) -> None:
    with PostgresServer() as postgres:
        postgres.stop()
        gateway = GatewayProcess(
            tmp_path, None, environment={"TUNEGATE_DATABASE_URL": postgres.url()}
        )
        starting = asyncio.create_task(gateway.start())
        async with asyncio.timeout(30):
            while not said(gateway, "store_not_open"):  # noqa: ASYNC110  another process writes it
                await asyncio.sleep(0.05)
        assert "Connection refused" in said(gateway, "store_not_open")[0]
        await asyncio.to_thread(postgres.start)
        await starting
        async with aiohttp.ClientSession() as session, session.get(f"{gateway.url}/readyz") as answer:  # fmt: skip
            assert answer.status == 200
        await gateway.stop()


async def test_one_that_never_comes_is_named(tmp_path: Path) -> None:
    environment = {
        "TUNEGATE_DATABASE_URL": "postgresql://user:canary@127.0.0.1:1/none",
        "TUNEGATE_STORE__START_WAIT_S": "0",
    }
    gateway = GatewayProcess(tmp_path, None, environment=environment)
    with pytest.raises(RuntimeError, match="gateway_not_started") as ended:
        await gateway.start()
    (reason,) = said(gateway, "store_not_open")
    assert "port 1 failed" in reason
    assert "canary" not in str(ended.value)
