"""Clone and edit: the API's own errors at the lines that they are about."""

import json
import re

import pytest_asyncio
from playwright.async_api import expect

from support.api import Api
from tunegate.sdk.testing.gateway_process import GatewayProcess

from .conftest import echo
from .reader import Reader


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def origin(api: Api, gateway: GatewayProcess) -> None:
    body = echo("origin-1", gateway.home / "origin")
    body["base_model"]["huggingface_token"] = "hf_canary"
    await api.submit(body)
    await api.submit(body | {"job_id": "origin-2"})


async def test_a_clone_is_mended_and_submitted(reader: Reader, api: Api, origin: None) -> None:
    reader.expected.append("400")
    await reader.sign_in("/jobs/origin-1")
    page = reader.page
    await page.get_by_role("link", name="Clone and edit").first.click()
    editor = page.get_by_role("textbox", name="Request as JSON")
    await expect(editor).to_have_value(re.compile('"job_id": "origin-3"'))
    text = await editor.input_value()
    assert "hf_canary" not in text
    problem = page.get_by_role("button", name="$.base_model.huggingface_token")
    await expect(problem).to_contain_text("was secret")
    await page.get_by_role("button", name="Submit").click()
    await expect(problem).to_contain_text("write it again")

    request = json.loads(text)
    del request["base_model"]["huggingface_token"]
    request["customization"]["rank"] = 0
    request["customisation"] = {}
    bad = json.dumps(request, indent=2)
    await editor.fill(bad)
    await page.get_by_role("button", name="Submit").click()
    problems = page.locator(".problem")
    await expect(problems).to_have_count(2)
    rank = page.get_by_role("button", name="$.customization.rank")
    line = bad[: bad.index('"rank"')].count("\n") + 1
    await expect(rank).to_contain_text(f"line {line}")
    await expect(page.locator(".gutter .bad").first).to_have_text(str(line))
    await expect(editor).to_have_attribute("aria-invalid", "true")
    await rank.click()
    await expect(editor).to_be_focused()
    chosen = await editor.evaluate("e => e.value.slice(e.selectionStart, e.selectionEnd)")
    assert chosen == '"rank": 0'

    del request["customization"]["rank"], request["customisation"]
    await editor.fill(json.dumps(request, indent=2))
    await page.get_by_role("button", name="Check").click()
    await expect(page.get_by_text("This job can run")).to_be_visible()
    await page.get_by_role("button", name="Submit").click()
    await expect(page.get_by_role("heading", name="origin-3", level=1)).to_be_visible()
    assert (await api.job("origin-3"))["backend"] == "echo"


async def test_what_is_no_json_is_told_with_its_line(reader: Reader) -> None:
    await reader.sign_in("/new")
    editor = reader.page.get_by_role("textbox", name="Request as JSON")
    await editor.fill('{\n  "job_id": "a",\n  "base_model" {}\n}')
    await reader.page.get_by_role("button", name="Check").click()
    await expect(reader.page.locator(".problem")).to_contain_text("line 3")
    await expect(reader.page.locator(".problem")).to_contain_text("Not JSON")


async def test_a_new_job_starts_from_an_example(reader: Reader) -> None:
    await reader.sign_in("/new")
    await reader.page.get_by_role("combobox", name="Example").select_option("qlora")
    editor = reader.page.get_by_role("textbox", name="Request as JSON")
    assert json.loads(await editor.input_value())["customization"]["method"] == "qlora"


async def test_a_conflict_is_shown_whole(reader: Reader, api: Api, origin: None) -> None:
    reader.expected.append("409")
    await reader.sign_in("/new/origin-1")
    editor = reader.page.get_by_role("textbox", name="Request as JSON")
    await expect(reader.page.locator(".problem")).to_have_count(1)
    request = json.loads(await editor.input_value()) | {"job_id": "origin-1"}
    del request["base_model"]["huggingface_token"]
    await editor.fill(json.dumps(request))
    await reader.page.get_by_role("button", name="Submit").click()
    await expect(reader.page.get_by_role("link", name="job_conflict")).to_be_visible()
