"""Several jobs in one plot."""

import pytest_asyncio
from playwright.async_api import expect

from support.api import Api
from tunegate.sdk.testing.gateway_process import GatewayProcess

from .conftest import echo
from .reader import Reader


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def three(api: Api, gateway: GatewayProcess) -> None:
    for number, steps in enumerate((30, 40, 50), 1):
        await api.submit(echo(f"run-{number}", gateway.home / "runs", steps=steps))
    for number in (1, 2, 3):
        await api.wait(f"run-{number}")


async def test_picked_jobs_share_a_plot(reader: Reader, three: None) -> None:
    await reader.sign_in("/?search=run-")
    page = reader.page
    for job in ("run-1", "run-2"):
        await page.get_by_role("checkbox", name=f"Compare {job}").check()
    await page.get_by_role("region", name="Selection").get_by_role("link", name="Compare").click()
    await expect(page.get_by_role("heading", name="Compare", level=1)).to_be_focused()
    curves = page.locator("path.main")
    await expect(curves).to_have_count(2)
    assert page.url.endswith("#/compare/run-1,run-2")
    await page.get_by_label("Add a job").fill("run-3")
    await page.keyboard.press("Enter")
    await expect(curves).to_have_count(3)
    row = page.get_by_role("row").filter(has=page.get_by_role("link", name="run-3"))
    await expect(row).to_contain_text("0.02")
    await page.get_by_role("button", name="Remove run-1").click()
    await expect(curves).to_have_count(2)
    await expect(page.get_by_label("Add a job")).to_be_focused()


async def test_scale_smoothing_axis_and_legend(reader: Reader, three: None) -> None:
    await reader.sign_in("/compare/run-1,run-2,run-3")
    page = reader.page
    curve = page.locator("path.main").first
    await expect(page.locator("path.main")).to_have_count(3)
    shapes = [await curve.get_attribute("d")]
    await page.get_by_role("checkbox", name="Log scale").check()
    await expect(curve).not_to_have_attribute("d", shapes[-1] or "")
    shapes.append(await curve.get_attribute("d"))
    await page.get_by_role("slider", name="Smoothing").focus()
    for _ in range(30):
        await page.keyboard.press("ArrowRight")
    await expect(page.locator("output")).to_have_text("0.60")
    await expect(page.locator("path.raw")).to_have_count(3)
    await expect(curve).not_to_have_attribute("d", shapes[-1] or "")
    shapes.append(await curve.get_attribute("d"))
    await page.get_by_role("combobox", name="Along the x axis").select_option("time")
    await expect(curve).not_to_have_attribute("d", shapes[-1] or "")
    entry = page.get_by_role("button", name="run-2")
    await entry.first.click()
    await expect(entry.first).to_have_attribute("aria-pressed", "false")
    await expect(page.locator("path.main")).to_have_count(2)


async def test_a_job_that_is_not_there_is_told(reader: Reader, three: None) -> None:
    reader.expected.append("404")
    await reader.sign_in("/compare/run-1,nobody")
    await expect(reader.page.get_by_role("alert").filter(has_text="nobody")).to_contain_text(
        "No such job"
    )
    await expect(reader.page.locator("path.main")).to_have_count(1)
