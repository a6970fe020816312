"""One job: curves that move, its log, its events, and what can be done with it. Long jobs are cancelled: two fill a small machine."""

from collections.abc import AsyncIterator

import pytest_asyncio
from playwright.async_api import Route, expect

from support.api import Api
from tunegate.sdk.testing.gateway_process import GatewayProcess

from .conftest import echo
from .reader import Reader

_PATH = ".chart >> nth=0 >> path.main"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def live(api: Api, gateway: GatewayProcess) -> AsyncIterator[None]:
    await api.submit(
        echo("live", gateway.home / "live", steps=4000, pause_s=0.1, metadata={"a": "b"})
    )
    await api.wait("live", status={"running"})
    yield
    await api.call("POST", "/train/live/cancel")
    await api.wait("live")


async def test_curves_progress_and_log_move_by_themselves(reader: Reader, live: None) -> None:
    await reader.sign_in("/jobs/live")
    page = reader.page
    await expect(page.get_by_role("heading", name="live", level=1)).to_be_focused()
    await expect(page.get_by_role("progressbar")).to_be_visible()
    await expect(page.get_by_role("heading", name="Loss", level=3)).to_be_visible()
    curve = page.locator(_PATH)
    before = (await curve.get_attribute("d"), await page.locator(".tiles dd").first.inner_text())
    await expect(page.locator(".tiles dd").first).not_to_have_text(before[1])
    await expect(curve).not_to_have_attribute("d", before[0] or "")
    log = page.get_by_role("log", name="Log")
    await expect(log).to_contain_text("step 1 of 4000")
    last = await log.locator(".line").last.inner_text()
    await expect(log.locator(".line").last).not_to_have_text(last)
    assert await log.evaluate("log => log.scrollHeight - log.scrollTop - log.clientHeight < 40")
    await page.get_by_role("searchbox", name="Only lines with").fill("step 1 of")
    await expect(log.locator(".line")).to_have_count(1)


async def test_a_broken_stream_goes_on_where_it_broke(reader: Reader, live: None) -> None:
    asked: list[str] = []
    reader.expected.append("net::ERR_FAILED")

    async def break_two(route: Route) -> None:
        asked.append(route.request.headers["last-event-id"])
        await (route.abort() if len(asked) <= 2 else route.continue_())

    await reader.page.route("**/train/live/events", break_two)
    await reader.sign_in("/jobs/live")
    curve = reader.page.locator(_PATH)
    before = await curve.get_attribute("d")
    await expect(curve).not_to_have_attribute("d", before or "")
    assert len(asked) >= 3
    assert asked[0] == asked[1] == asked[2] != "0"


async def test_panels(reader: Reader, live: None) -> None:
    await reader.sign_in("/jobs/live")
    page = reader.page
    await page.get_by_role("tab", name="Log").focus()
    await page.keyboard.press("ArrowRight")
    await expect(page.get_by_role("tab", name="Events")).to_be_focused()
    events = page.get_by_role("table", name="Events, newest first")
    await expect(events).to_contain_text("Training nothing")
    await expect(events).to_contain_text("Job accepted")
    await page.keyboard.press("ArrowRight")
    await expect(page.get_by_role("tabpanel", name="Artifacts")).to_contain_text(
        "once the job has succeeded"
    )
    await page.keyboard.press("ArrowRight")
    await expect(page.get_by_label("Request", exact=True).last).to_contain_text('"backend": "echo"')
    await page.keyboard.press("End")
    await expect(page.get_by_role("tabpanel", name="Notes")).to_contain_text("echo trains nothing")


async def test_the_chart_is_read_by_pointer_and_keys(reader: Reader, live: None) -> None:
    await reader.sign_in("/jobs/live")
    page = reader.page
    plot = page.get_by_role("group", name="Loss: chart")
    await expect(page.locator(_PATH)).to_be_attached()
    await plot.hover(position={"x": 120, "y": 80})
    await expect(page.locator(".tip")).to_be_visible()
    await plot.focus()
    await page.keyboard.press("Home")
    await expect(plot.locator("[aria-live]")).to_have_text("Step 1: training 1")
    await page.keyboard.press("ArrowRight")
    await expect(plot.locator("[aria-live]")).to_have_text("Step 2: training 0.5")
    await page.keyboard.press("+")
    await expect(page.get_by_role("button", name="Reset zoom").first).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("button", name="Reset zoom").first).to_be_hidden()
    await page.locator("summary", has_text="Numbers of Loss").click()
    await expect(
        page.get_by_role("region", name="Numbers of Loss").get_by_role(
            "row", name="1 1", exact=True
        )
    ).to_be_visible()


async def test_cancel_asks_first_then_retry_goes_on(
    reader: Reader, api: Api, gateway: GatewayProcess
) -> None:
    await api.submit(echo("stopped", gateway.home / "s", steps=4000, pause_s=0.1))
    await api.wait("stopped", status={"running"})
    await reader.sign_in("/jobs/stopped")
    page = reader.page
    await page.get_by_role("button", name="Cancel", exact=True).click()
    dialog = page.get_by_role("dialog", name="Cancel stopped?")
    await dialog.get_by_role("button", name="Keep it").click()
    await expect(page.get_by_role("button", name="Cancel", exact=True)).to_be_focused()
    assert (await api.job("stopped"))["status"] == "running"
    await page.get_by_role("button", name="Cancel", exact=True).click()
    await dialog.get_by_role("button", name="Cancel the job").click()
    await expect(page.locator(".job-head .badge")).to_have_text("cancelled")
    await expect(page.locator("#said")).to_contain_text("stopped is cancelled")
    await page.get_by_role("button", name="Retry").click()
    await expect(page.locator(".job-head .badge")).to_have_text("training")
    assert (await api.job("stopped"))["attempt"] == 2
    await api.call("POST", "/train/stopped/cancel")
    await api.wait("stopped")


async def test_a_failure_says_why_and_what_to_do(
    reader: Reader, api: Api, gateway: GatewayProcess
) -> None:
    await api.submit(echo("broken", gateway.home / "b", extra={"fail_code": "out_of_memory"}))
    await api.wait("broken")
    await reader.sign_in("/jobs/broken")
    alert = reader.page.get_by_role("alert").filter(has_text="out_of_memory")
    await expect(alert).to_contain_text("Lower max_sequence_length")
    await expect(reader.page.get_by_role("button", name="Retry")).to_be_visible()
    await expect(reader.page.get_by_role("button", name="Cancel", exact=True)).to_be_hidden()


async def test_a_job_that_is_not_there(reader: Reader) -> None:
    reader.expected.append("404")
    await reader.sign_in("/jobs/nobody")
    await expect(reader.page.get_by_role("alert")).to_contain_text("No such job")
