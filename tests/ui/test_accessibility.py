"""axe on every page in both themes, the keyboard alone, a phone, and themes."""

import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from support.api import Api
from tunegate.sdk.testing.gateway_process import GatewayProcess

from .conftest import echo
from .reader import Reader

_PLACES = {
    "list": "/?search=seen",
    "empty": "/?search=no-such-job-at-all",
    "job": "/jobs/seen",
    "compare": "/compare/seen,seen-failed",
    "no comparison": "/compare",
    "editor": "/new/seen",
}
_WIDER = """() => {
    const { scrollWidth, clientWidth } = document.documentElement;
    if (scrollWidth <= clientWidth) return [];
    const wide = [...document.querySelectorAll("body *")].filter((one) => one.getBoundingClientRect().right > clientWidth);
    return wide.map((one) => one.outerHTML.slice(0, 80));
}"""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def seen(api: Api, gateway: GatewayProcess) -> None:
    await api.submit(echo("seen", gateway.home / "seen", steps=30, metadata={"team": "a"}))
    await api.submit(
        echo("seen-failed", gateway.home / "seen", extra={"fail_code": "out_of_memory"})
    )
    await api.wait("seen")
    await api.wait("seen-failed")


async def test_axe_finds_nothing(reader: Reader, seen: None) -> None:
    await reader.open()
    assert await reader.violations() == []
    await reader.sign_in("/jobs/seen")
    await expect(reader.page.get_by_role("tab", name="Log")).to_be_visible()
    await expect(reader.page.locator(".badge")).to_have_text("succeeded")
    assert await reader.violations() == []


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("place", _PLACES)
async def test_axe_finds_nothing_anywhere(
    browser: Browser, gateway: GatewayProcess, seen: None, scheme: str, place: str
) -> None:
    async with Reader.at(browser, gateway.url, gateway.token, color_scheme=scheme) as reader:
        await reader.sign_in(_PLACES[place])
        await reader.page.wait_for_timeout(500)
        assert await reader.violations() == []
        for tab in await reader.page.get_by_role("tab").all():
            await tab.click()
            await reader.page.wait_for_timeout(200)
            assert await reader.violations() == []
        assert reader.complaints == []


async def test_the_keyboard_is_enough(reader: Reader, seen: None) -> None:
    """From signing in to a job's panels and back, without a pointer; focus is always seen."""
    page, keys = reader.page, reader.page.keyboard
    await reader.open("/?search=seen-failed")
    await keys.type(reader.token)
    await keys.press("Enter")
    link = page.get_by_role("link", name="seen-failed")
    await expect(link).to_be_visible()
    for _ in range(30):
        await keys.press("Tab")
        outlined = await page.evaluate(
            "(() => { const s = getComputedStyle(document.activeElement); "
            "const n = document.activeElement.nextElementSibling; "
            "return s.outlineStyle !== 'none' || (n && getComputedStyle(n).outlineStyle !== 'none') })()"
        )
        assert outlined, await page.evaluate("document.activeElement.outerHTML")
        if await link.evaluate("link => link === document.activeElement"):
            break
    await keys.press("Enter")
    await expect(page.get_by_role("heading", name="seen-failed", level=1)).to_be_focused()
    for _ in range(30):
        await keys.press("Tab")
        if await page.evaluate("document.activeElement.getAttribute('role')") == "tab":
            break
    await keys.press("ArrowRight")
    await expect(page.get_by_role("tab", name="Events")).to_have_attribute("aria-selected", "true")
    await page.go_back()
    await expect(page.get_by_role("heading", name="Jobs", level=1)).to_be_focused()


async def test_skipping_leads_to_the_content(reader: Reader) -> None:
    await reader.sign_in()
    await reader.page.get_by_role("button", name="Skip to content").focus()
    await reader.page.keyboard.press("Enter")
    await expect(reader.page.get_by_role("main")).to_be_focused()


async def test_the_theme_follows_the_system_until_it_is_chosen(reader: Reader) -> None:
    await reader.page.emulate_media(color_scheme="dark")
    await reader.open()
    ground = "getComputedStyle(document.body).backgroundColor"
    dark = await reader.page.evaluate(ground)
    await reader.page.emulate_media(color_scheme="light")
    light = await reader.page.evaluate(ground)
    assert dark != light
    button = reader.page.get_by_role("button", name="Theme")
    await button.click()
    await button.click()
    await expect(button).to_have_text("Theme: dark")
    assert await reader.page.evaluate(ground) == dark
    await reader.page.reload()
    assert await reader.page.evaluate(ground) == dark


@pytest.mark.slow
@pytest.mark.parametrize("place", _PLACES)
async def test_nothing_is_wider_than_a_phone(
    browser: Browser, gateway: GatewayProcess, seen: None, place: str
) -> None:
    size: dict[str, int] = {"width": 360, "height": 740}
    async with Reader.at(browser, gateway.url, gateway.token, viewport=size) as reader:
        await reader.sign_in(_PLACES[place])
        await reader.page.wait_for_timeout(500)
        assert await reader.page.evaluate(_WIDER) == []
