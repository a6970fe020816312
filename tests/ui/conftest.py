"""A real gateway, a real Chromium, and whoever looks at the dashboard with it."""

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Playwright, async_playwright

from support.api import Api
from tunegate.sdk.testing.gateway_process import GatewayProcess

from .reader import CHROMIUM, Reader, start_chromium


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)
            item.add_marker(pytest.mark.slow)
            if CHROMIUM is None:
                reason = "Chromium is not installed: apt-get install chromium fonts-dejavu-core"
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def gateway(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[GatewayProcess]:
    async with GatewayProcess(tmp_path_factory.mktemp("ui") / "gateway", None) as running:
        yield running


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def api(gateway: GatewayProcess) -> AsyncGenerator[Api]:
    async with Api(gateway.url, gateway.token) as client:
        yield client
        _, page = await client.call("GET", "/train?limit=200")
        for job in page["data"]:  # runs outlive their gateway
            await client.call("POST", f"/train/{job['job_id']}/cancel")
        for job in page["data"]:
            await client.wait(job["job_id"])


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def driver() -> AsyncGenerator[Playwright]:
    async with async_playwright() as started:
        yield started


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser(driver: Playwright) -> AsyncGenerator[Browser]:
    running = await start_chromium(driver)
    yield running
    await running.close()


@pytest_asyncio.fixture(loop_scope="session")
async def reader(browser: Browser, gateway: GatewayProcess) -> AsyncGenerator[Reader]:
    """Somebody in front of the dashboard; the page may not complain of anything that is not expected."""
    async with Reader.at(browser, gateway.url, gateway.token) as somebody:
        yield somebody
        assert somebody.complaints == []


def echo(
    job_id: str, out: Path, *, steps: int = 3, pause_s: float = 0.0, **more: Any
) -> dict[str, Any]:
    """A request that trains nothing in no time; `more` are fields of the request, `extra` options of echo."""
    options = {"steps": steps, "seconds_per_step": pause_s} | more.pop("extra", {})
    return {
        "job_id": job_id,
        "backend": "echo",
        "base_model": {"provider": "huggingface", "model_name": "org/tiny"},
        "customization": {"method": "lora"},
        "resources": {"gpus": 0, "cpus": 1, "memory_gb": 1},
        "datasets": [{"source": f"{out}/rows.jsonl", "format": "jsonl"}],
        "artifacts": {"output_uri": f"file://{out}/"},
        "extra_parameters": options,
    } | more
