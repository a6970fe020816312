"""Somebody who looks at the dashboard through Chromium and hears whatever the page complains of."""

import shutil
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from importlib.resources import files
from typing import Any, Self

from playwright.async_api import Browser, ConsoleMessage, Locator, Page, Playwright, expect

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
AXE = files("axe_playwright_python").joinpath("axe.min.js").read_text()
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
_RUN_AXE = "rules => axe.run(document, {runOnly: {type: 'tag', values: rules}})"
expect.set_options(timeout=10_000)


async def start_chromium(driver: Playwright) -> Browser:
    flags = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
    return await driver.chromium.launch(executable_path=CHROMIUM, args=flags)


class Reader:
    """One tab. `expected` are texts that the console may hold."""

    def __init__(self, page: Page, url: str, token: str) -> None:
        self.page = page
        self.url = url
        self.token = token
        self.expected: list[str] = []
        self._heard: list[str] = []
        page.on("console", self._hear)
        page.on("pageerror", lambda error: self._heard.append(f"error: {error}"))

    @classmethod
    @asynccontextmanager
    async def at(
        cls, browser: Browser, url: str, token: str, **context: Any
    ) -> AsyncGenerator[Self]:
        opened = await browser.new_context(
            **({"viewport": {"width": 1280, "height": 900}} | context)
        )
        yield cls(await opened.new_page(), url, token)
        await opened.close()

    @property
    def complaints(self) -> list[str]:
        """Errors, warnings and violations of the policy that were not expected."""
        return [text for text in self._heard if not any(part in text for part in self.expected)]

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self._heard.append(f"{message.type}: {message.text}")

    async def open(self, place: str = "/") -> None:
        """The page, not signed in yet."""
        await self.page.goto(f"{self.url}/ui#{place}")

    async def sign_in(self, place: str = "/") -> None:
        """Open, give the token by the keyboard, and wait for what stands there."""
        await self.open(place)
        await self.page.get_by_label("Token").fill(self.token)
        await self.page.keyboard.press("Enter")
        await expect(self.page.get_by_role("navigation", name="Main")).to_be_visible()

    async def go(self, place: str) -> None:
        """Follow a link within the page."""
        await self.page.evaluate("place => { location.hash = place }", place)

    def job_row(self, job_id: str) -> Locator:
        return self.page.get_by_role("row").filter(
            has=self.page.get_by_role("link", name=job_id, exact=True)
        )

    async def ids(self) -> list[str]:
        """The jobs of the table, as they stand there."""
        return await self.page.locator("table.jobs tbody th a").all_inner_texts()

    async def violations(self) -> list[str]:
        """What axe finds: rule and elements."""
        if not await self.page.evaluate("typeof axe !== 'undefined'"):
            await self.page.evaluate(f"() => {{ {AXE} }}")
        found = await self.page.evaluate(_RUN_AXE, RULES)
        return [
            f"{rule['id']}: {[node['html'][:160] + str(node.get('any', [{}])[:1]) for node in rule['nodes']]}"
            for rule in found["violations"]
        ]

    async def module(self, name: str, body: str, argument: Any = None) -> Any:
        """The result of `body`, a function of (module, argument), run in the page with one of its modules."""
        script = """async ([name, body, argument]) => {
            const module = await import([...document.querySelectorAll('link[rel=modulepreload]')]
                .map(link => link.href).find(href => href.endsWith('/' + name)));
            return BODY(module, argument);
        }""".replace("BODY", f"({body})")
        return await self.page.evaluate(script, [name, body, argument])
