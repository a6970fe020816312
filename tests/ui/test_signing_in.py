"""The token: asked for, kept in memory alone, gone with the page."""

import json

from playwright.async_api import Route, expect

from .reader import Reader

_KEPT = """async () => ({
    address: location.href, local: JSON.stringify(localStorage), session: JSON.stringify(sessionStorage),
    cookie: document.cookie, name: window.name, history: JSON.stringify(history.state),
    databases: (await indexedDB.databases()).length, caches: (await caches.keys()).length,
    html: document.documentElement.outerHTML, inputs: [...document.querySelectorAll('input')].map(i => i.value).join(),
})"""


async def test_a_wrong_token_is_told_and_a_right_one_lets_in(reader: Reader) -> None:
    reader.expected.append("401")
    await reader.open()
    field = reader.page.get_by_label("Token")
    await expect(field).to_be_focused()
    await field.fill("wrong-token")
    await reader.page.get_by_role("button", name="Sign in").click()
    await expect(reader.page.get_by_role("alert")).to_have_text(
        "The gateway does not know this token."
    )
    await expect(field).to_be_focused()
    await field.fill("ein Schlüssel")
    await reader.page.keyboard.press("Enter")
    await expect(reader.page.get_by_role("alert")).to_contain_text("no spaces")
    await field.fill(reader.token)
    await reader.page.keyboard.press("Enter")
    await expect(reader.page.get_by_role("heading", name="Jobs", level=1)).to_be_focused()


async def test_the_token_is_nowhere_but_in_memory(reader: Reader) -> None:
    await reader.sign_in()
    await reader.page.get_by_role("button", name="Theme").click()
    kept = await reader.page.evaluate(_KEPT)
    assert reader.token not in json.dumps(kept)
    assert (kept["databases"], kept["caches"], kept["cookie"]) == (0, 0, "")
    assert json.loads(kept["local"]) == {"tunegate-theme": "light"}
    await reader.page.reload()
    await expect(reader.page.get_by_role("heading", name="Sign in")).to_be_visible()


async def test_signing_out_takes_all_from_the_page(reader: Reader) -> None:
    await reader.sign_in()
    await reader.page.get_by_role("button", name="Sign out").click()
    await expect(reader.page.get_by_label("Token")).to_be_focused()
    assert await reader.page.locator("table").count() == 0
    await expect(reader.page.get_by_role("navigation", name="Main")).to_be_hidden()


async def test_a_token_that_is_no_longer_taken_is_asked_for_again(reader: Reader) -> None:
    reader.expected.append("401")
    await reader.sign_in("/new")
    refused = {"status": 401, "code": "unauthorized", "title": "x", "type": "x", "detail": ""}

    async def refuse(route: Route) -> None:
        await route.fulfill(status=401, json=refused, content_type="application/problem+json")

    await reader.page.route("**/train?*", refuse)
    await reader.go("/")
    await expect(reader.page.get_by_role("alert")).to_contain_text("no longer taken")
    await reader.page.unroute("**/train?*")
    await reader.page.get_by_label("Token").fill(reader.token)
    await reader.page.keyboard.press("Enter")
    await expect(reader.page.get_by_role("heading", name="Jobs", level=1)).to_be_visible()


async def test_an_open_gateway_asks_for_nothing(reader: Reader) -> None:
    async def as_open(route: Route) -> None:
        answer = await route.fetch()
        body = (await answer.text()).replace('data-open="no"', 'data-open="yes"')
        await route.fulfill(response=answer, body=body)

    await reader.page.route("**/ui", as_open)
    await reader.page.set_extra_http_headers({"authorization": f"Bearer {reader.token}"})
    await reader.open()
    await expect(reader.page.get_by_role("heading", name="Jobs", level=1)).to_be_visible()
    await expect(reader.page.get_by_role("button", name="Sign out")).to_be_hidden()
