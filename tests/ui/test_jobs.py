"""The list: rows that keep up, filters, pages."""

import pytest_asyncio
from playwright.async_api import expect

from support.api import Api
from tunegate.sdk.testing.gateway_process import GatewayProcess

from .conftest import echo
from .reader import Reader


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def few(api: Api, gateway: GatewayProcess) -> None:
    out = gateway.home / "few"
    await api.submit(echo("few-good", out, metadata={"team": "Vision", "run": "7"}))
    await api.submit(echo("few-bad", out, extra={"fail_code": "out_of_memory"}))
    await api.submit(echo("few-slow", out, steps=2000, pause_s=0.2, metadata={"team": "speech"}))
    for job in ("few-good", "few-bad"):
        await api.wait(job)


async def test_rows_say_how_jobs_are(reader: Reader, few: None) -> None:
    await reader.sign_in("/?search=few-")
    await expect(reader.job_row("few-good")).to_contain_text("succeeded")
    await expect(reader.job_row("few-good")).to_contain_text("100%")
    await expect(reader.job_row("few-good")).to_contain_text("team: Vision")
    await expect(reader.job_row("few-bad")).to_contain_text("failed")
    await expect(reader.job_row("few-slow")).to_contain_text("training")
    assert await reader.ids() == ["few-slow", "few-bad", "few-good"]


async def test_filters_narrow_the_list_and_stand_in_the_address(reader: Reader, few: None) -> None:
    await reader.sign_in()
    search = reader.page.get_by_role("searchbox", name="Search")
    await search.fill("vision")
    await expect(reader.page.locator("table.jobs tbody tr")).to_have_count(1)
    assert await reader.ids() == ["few-good"]
    await search.fill("few-")
    await expect(reader.page.locator("table.jobs tbody tr")).to_have_count(3)
    await reader.page.get_by_role("radio", name="failed").check()
    await expect(reader.page.locator("table.jobs tbody tr")).to_have_count(1)
    assert await reader.ids() == ["few-bad"]
    assert reader.page.url.endswith("#/?status=failed&search=few-")
    await reader.page.get_by_role("combobox", name="Created").select_option("Last hour")
    await reader.page.get_by_role("combobox", name="Launcher").select_option("local")
    await expect(reader.job_row("few-bad")).to_be_visible()
    await reader.page.get_by_role("combobox", name="Backend").select_option("qlora")
    await expect(
        reader.page.get_by_role("heading", name="No job fits these filters")
    ).to_be_visible()
    await reader.page.get_by_role("link", name="Show all jobs").click()
    await expect(reader.job_row("few-slow")).to_be_visible()
    await expect(search).to_have_value("")


async def test_a_span_of_time(reader: Reader, few: None) -> None:
    await reader.sign_in("/?search=few-&span=own&to=2020-01-01T00:00")
    await expect(
        reader.page.get_by_role("heading", name="No job fits these filters")
    ).to_be_visible()
    await reader.page.get_by_label("To", exact=True).fill("2199-01-01T00:00")
    await reader.page.get_by_label("To", exact=True).blur()
    await expect(reader.page.locator("table.jobs tbody tr")).to_have_count(3)


async def test_the_list_keeps_up(reader: Reader, api: Api, few: None) -> None:
    await reader.sign_in("/?search=few-slow")
    percent = reader.job_row("few-slow").locator(".percent")
    await expect(percent).not_to_be_empty()
    loss = reader.job_row("few-slow").locator("td.number")
    before = await loss.inner_text()
    await reader.job_row("few-slow").get_by_role("link").focus()
    await expect(loss).not_to_have_text(before)
    await expect(reader.job_row("few-slow").get_by_role("link")).to_be_focused()


async def test_pages(reader: Reader, few: None) -> None:
    await reader.sign_in("/?search=few-")
    await reader.page.evaluate("""() => {
        const size = document.querySelector('.pages select');
        size.append(new Option('2', '2'));
    }""")
    await reader.page.get_by_label("Rows").select_option("2")
    await expect(reader.page.locator("table.jobs tbody tr")).to_have_count(2)
    await reader.page.get_by_role("button", name="Older").click()
    await expect(reader.page.locator("table.jobs tbody tr")).to_have_count(1)
    assert await reader.ids() == ["few-good"]
    await expect(reader.page.get_by_role("button", name="Older")).to_be_disabled()
    await reader.page.get_by_role("button", name="Newer").click()
    await expect(reader.page.locator("table.jobs tbody tr")).to_have_count(2)
