"""`make docs-pictures`: the pictures of docs/DASHBOARD.md, taken of a real gateway that trains a small model.

Two learning rates are compared while a third job runs; a fourth was refused by its own data.
"""

import asyncio
import json
import re
import tempfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from playwright.async_api import Page, async_playwright, expect
from tests.ui.reader import Reader, start_chromium

from tunegate.client import AsyncClient
from tunegate.demo.domain import corpus, rows
from tunegate.sdk.testing.gateway_process import GatewayProcess
from tunegate.trainer.tiny import make_tiny_model

PICTURES = Path(__file__).parents[2] / "docs" / "pictures"
SIZE = {"width": 1280, "height": 860}
RUNS = {"reviews-lr-2e-3": 2e-3, "reviews-lr-8e-3": 8e-3}
LIVE, REFUSED = "reviews-long", "reviews-bad-rows"


def request(
    home: Path, job_id: str, *, rate: float = 5e-3, epochs: int = 5, data: str = "reviews"
) -> dict[str, Any]:
    """LoRA on a small Llama."""
    return {
        "job_id": job_id,
        "base_model": {"provider": "custom", "model_name": str(home / "model")},
        "customization": {"method": "lora", "rank": 8},
        "resources": {"gpus": 0, "cpus": 1, "memory_gb": 2},
        "datasets": [{"source": str(home / f"{data}.jsonl"), "format": "jsonl"}],
        "artifacts": {"output_uri": f"file://{home}/results/"},
        "tuning_parameters": {
            "learning_rate": rate,
            "batch_size": 16,
            "num_epochs": epochs,
            "max_sequence_length": 128,
            "eval_steps": 10,
            "logging_steps": 1,
        },
        "extra_parameters": {"held_out_fraction": 0.1},
        "metadata": {"team": "payments"},
    }


def prepare(home: Path) -> None:
    """A model of random weights, rows to learn, and rows with a fault in them."""
    (home / "model").mkdir(parents=True)
    make_tiny_model(home / "model", corpus=corpus(), hidden=128, layers=4, vocab=512)
    lines = [json.dumps(row) for row in rows(600, "plain", seed=1)]
    (home / "reviews.jsonl").write_text("\n".join(lines))
    (home / "faulty.jsonl").write_text("\n".join([*lines[:40], '{"messages": "not a list"}']))


@asynccontextmanager
async def trained(home: Path) -> AsyncGenerator[GatewayProcess]:
    """A gateway whose jobs are through, but for LIVE, which is half way."""
    prepare(home)
    async with (
        GatewayProcess(home, None) as gateway,
        AsyncClient(gateway.url, gateway.token) as client,
    ):
        for job_id, rate in RUNS.items():
            await client.submit(request(home, job_id, rate=rate))
        await client.submit(request(home, REFUSED, data="faulty"))
        for job_id in (*RUNS, REFUSED):
            async for _ in client.events(job_id):
                pass
        await client.submit(request(home, LIVE, epochs=12))
        async for event in client.events(LIVE):
            if event.data.get("step", 0) >= 150:
                break
        yield gateway
        await client.cancel(LIVE)
        async for _ in client.events(LIVE):
            pass


async def shoot(page: Page, name: str) -> None:
    await page.screenshot(path=PICTURES / f"{name}.png")


async def take(reader: Reader, dark: Reader) -> None:
    """All pictures."""
    page = reader.page
    await reader.sign_in("/")
    await expect(reader.job_row(LIVE)).to_contain_text("training")
    await shoot(page, "jobs")
    await reader.go(f"/jobs/{LIVE}")
    await expect(page.locator("path.main").nth(3)).to_be_attached()
    await shoot(page, "job")
    await reader.go("/compare/" + ",".join(RUNS))
    await expect(page.locator("path.main").nth(1)).to_be_attached()
    await shoot(page, "compare")
    await reader.go(f"/jobs/{REFUSED}")
    await expect(page.locator(".job-head .badge")).to_have_text("failed")
    await expect(page.get_by_role("log", name="Log")).to_contain_text("faulty.jsonl")
    await shoot(page, "failed")
    await reader.go(f"/new/{LIVE}")
    editor = page.get_by_role("textbox", name="Request as JSON")
    await expect(editor).to_have_value(re.compile(LIVE))
    text = await editor.input_value()
    await editor.fill(text.replace('"rank": 8', '"rank": 0').replace("batch_size", "batchsize"))
    await page.get_by_role("button", name="Check").click()
    await expect(page.locator(".problem")).to_have_count(2)
    await shoot(page, "editor")
    await dark.sign_in(f"/jobs/{next(iter(RUNS))}")
    await expect(dark.page.locator("path.main").nth(3)).to_be_attached()
    await shoot(dark.page, "job-dark")


async def main() -> None:
    PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="tunegate-") as folder:
        async with trained(Path(folder)) as gateway, async_playwright() as driver:
            browser = await start_chromium(driver)
            light = Reader.at(browser, gateway.url, gateway.token, viewport=SIZE)
            dark = Reader.at(
                browser, gateway.url, gateway.token, viewport=SIZE, color_scheme="dark"
            )
            async with light as reader, dark as reader_at_night:
                await take(reader, reader_at_night)
            await browser.close()


if __name__ == "__main__":
    asyncio.run(main())
