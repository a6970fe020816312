"""A hostile job: whatever it is called and says is shown as text and disturbs nothing."""

import json
from typing import Any

import pytest_asyncio
from playwright.async_api import Route, expect

from support.api import Api
from tunegate.sdk.testing.gateway_process import GatewayProcess

from .conftest import echo
from .reader import Reader

SCRIPT = '<img src=x onerror="window.pwned=1"><script>window.pwned=1</script>'
TURNED = "\u202eevil\u202c שלום \U0001f600 \ufeffe\u0301"
LONG = "w" * 256
NAME = "x" * 128
LOG = f"\x1b[31m{SCRIPT}\x1b[0m {TURNED}\n 10%|#\r 90%|###\rdone\n\x1b]0;title\x07\x00{LONG * 40}\n"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def hostile(api: Api, gateway: GatewayProcess) -> str:
    pairs = {"html": SCRIPT, "turned": TURNED, "long": LONG, "__proto__": "{}", "constructor": "x"}
    await api.submit(echo(NAME, gateway.home / "hostile", steps=3, metadata=pairs))
    await api.wait(NAME)
    return NAME


async def unhurt(reader: Reader) -> None:
    assert await reader.page.evaluate("window.pwned") is None
    assert await reader.page.locator("main img, main script, main iframe").count() == 0
    assert not await reader.page.evaluate(
        "document.documentElement.scrollWidth > document.documentElement.clientWidth"
    )


async def test_its_metadata_and_name(reader: Reader, hostile: str) -> None:
    await reader.sign_in(f"/?search={NAME}")
    await expect(reader.job_row(NAME)).to_contain_text(f"html: {SCRIPT}")
    await unhurt(reader)
    await reader.go(f"/jobs/{NAME}")
    chips = reader.page.get_by_role("list", name="Metadata")
    await expect(chips).to_contain_text(SCRIPT)
    await expect(chips).to_contain_text(TURNED)
    await expect(chips).to_contain_text("__proto__")
    await unhurt(reader)


async def test_its_words_and_its_log(reader: Reader, hostile: str) -> None:
    """What the API would answer for a job that says such things."""

    async def say(route: Route) -> None:
        answer = await route.fetch()
        body: dict[str, Any] = json.loads(await answer.text())
        error = {
            "code": SCRIPT,
            "origin": SCRIPT,
            "message": SCRIPT + LONG * 8,
            "advice": TURNED,
            "retryable": False,
        }
        said = {
            "status": "failed",
            "phase": SCRIPT,
            "detail": SCRIPT,
            "backend": SCRIPT,
            "launcher": TURNED,
        }
        said |= {
            "error": error,
            "notes": [SCRIPT, TURNED],
            "output_uri": "javascript:window.pwned=1",
        }
        await route.fulfill(json=body | said)  # fmt: skip

    async def print_log(route: Route) -> None:
        await route.fulfill(body=LOG, content_type="text/plain")

    async def list_files(route: Route) -> None:
        files = [
            {"path": SCRIPT, "uri": SCRIPT, "size_bytes": 1, "sha256": SCRIPT, "url": url}
            for url in (
                "javascript:window.pwned=1",
                "data:text/html,x",
                "https://ok.example/x",
                None,
            )
        ]
        await route.fulfill(json={"data": files, "complete": True})

    page = reader.page
    await page.route(f"**/train/{NAME}", say)
    await page.route(f"**/train/{NAME}/logs?*", print_log)
    await page.route(f"**/train/{NAME}/artifacts", list_files)
    await reader.sign_in(f"/jobs/{NAME}")
    await expect(page.get_by_role("alert").filter(has_text=SCRIPT)).to_be_visible()
    lines = page.get_by_role("log", name="Log").locator(".line")
    await expect(lines).to_have_count(3)
    assert await lines.nth(0).inner_text() == f"{SCRIPT} {TURNED}"
    assert await lines.nth(1).inner_text() == "done"
    assert (await lines.nth(2).inner_text()).endswith("… 6,241 characters more")
    await unhurt(reader)
    await page.get_by_role("tab", name="Artifacts").click()
    await expect(page.get_by_role("table", name="Results").get_by_role("row")).to_have_count(5)
    links = page.get_by_role("table", name="Results").get_by_role("link")
    await expect(links).to_have_count(1)
    await expect(links).to_have_attribute("href", "https://ok.example/x")
    await expect(links).to_have_attribute("rel", "noopener noreferrer")
    await page.get_by_role("tab", name="Notes").click()
    await expect(page.get_by_role("tabpanel", name="Notes")).to_contain_text(SCRIPT)
    await unhurt(reader)


async def test_an_error_answer_is_text_too(reader: Reader, hostile: str) -> None:
    problem = {
        "type": "x",
        "title": SCRIPT,
        "status": 422,
        "code": SCRIPT,
        "detail": TURNED,
        "advice": SCRIPT,
    }
    problem["errors"] = [{"path": f"$.{SCRIPT}", "message": SCRIPT, "code": SCRIPT}]  # type: ignore[assignment]

    async def refuse(route: Route) -> None:
        await route.fulfill(status=422, json=problem, content_type="application/problem+json")

    reader.expected.append("422")
    await reader.page.route("**/train?dry_run=true", refuse)
    await reader.sign_in("/new")
    await reader.page.get_by_role("button", name="Check").click()
    await expect(reader.page.locator(".problem")).to_contain_text(SCRIPT)
    await unhurt(reader)
