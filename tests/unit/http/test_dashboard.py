"""The dashboard's files: open, hardened, cached by their content, and gone where the operator wants none."""

import re
from importlib.resources import files

import pytest
from litestar import Litestar
from litestar.testing import AsyncTestClient

from support.door import READER, FakeJobs
from tunegate.http.dashboard import read_dashboard

from .conftest import AppFactory

Client = AsyncTestClient[Litestar]
SOURCES = {file.name: file.read_text() for file in files("tunegate.http").joinpath("ui").iterdir()}
ADDRESS = re.compile(r'(?:src|href)="(ui/[^"]+)"')


def directives(policy: str) -> dict[str, str]:
    return {
        name: values for name, _, values in (part.partition(" ") for part in policy.split("; "))
    }


async def test_the_page_needs_no_token_and_holds_nothing(client: Client, jobs: FakeJobs) -> None:
    page = await client.get("/ui")
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert jobs.calls == []
    assert "{{" not in page.text
    addresses = ADDRESS.findall(page.text)
    assert len(addresses) > 10
    for address in addresses:
        found = await client.get(f"/{address}")
        assert found.status_code == 200, address
        assert found.text == SOURCES[address.rpartition("/")[2]]


async def test_every_answer_is_hardened(client: Client) -> None:
    release = read_dashboard().release
    for path in ("/ui", f"/ui/{release}/main.js", f"/ui/{release}/theme.css"):
        headers = (await client.get(path)).headers
        policy = directives(headers["content-security-policy"])
        assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
        assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
        assert policy["require-trusted-types-for"] == "'script'"
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["x-frame-options"] == "DENY"
        assert headers["cross-origin-opener-policy"] == "same-origin"
        assert "camera=()" in headers["permissions-policy"]
        assert len(headers.get_list("content-security-policy")) == 1
        assert len(headers.get_list("cache-control")) == 1


async def test_files_are_kept_and_the_page_is_asked_for_again(client: Client) -> None:
    page = await client.get("/ui")
    script = await client.get(f"/ui/{read_dashboard().release}/main.js")
    assert page.headers["cache-control"] == "no-cache"
    assert script.headers["cache-control"] == "public, max-age=31536000, immutable"
    for answer in (page, script):
        known = {"if-none-match": f'"x", W/{answer.headers["etag"]}'}
        again = await client.get(answer.url.path, headers=known)
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == answer.headers["etag"]
    assert (await client.get("/ui", headers={"if-none-match": '"other"'})).status_code == 200


async def test_a_page_of_another_release_is_served_and_not_kept(client: Client) -> None:
    script = await client.get("/ui/0123456789abcdef/main.js")
    assert (script.status_code, script.headers["cache-control"]) == (200, "no-cache")


@pytest.mark.parametrize("name", ["index.html", "nothing.js", "..%2fapp.py", "%00"])
async def test_nothing_else_is_there(client: Client, name: str) -> None:
    assert (await client.get(f"/ui/{read_dashboard().release}/{name}")).status_code == 404


async def test_a_slash_at_the_end_leads_to_the_page(client: Client) -> None:
    answer = await client.get("/ui/", follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (308, "../ui")


async def test_it_can_be_switched_off(make_app: AppFactory) -> None:
    async with AsyncTestClient(make_app(dashboard=False), base_url="http://127.0.0.1") as client:
        for path in ("/ui", f"/ui/{read_dashboard().release}/main.js"):
            answer = await client.get(path)
            assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
        assert (await client.get("/train", headers=READER)).status_code == 200


async def test_the_page_knows_where_no_token_is_asked_for(
    client: Client, make_app: AppFactory
) -> None:
    assert 'data-open="no"' in (await client.get("/ui")).text
    async with AsyncTestClient(make_app(tokens=[]), base_url="http://127.0.0.1") as opened:
        assert 'data-open="yes"' in (await opened.get("/ui")).text


@pytest.mark.parametrize(
    "forbidden",
    [
        "innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "createContextualFragment", "DOMParser",
        "eval(", "new Function", "sessionStorage", "indexedDB", "document.cookie", "import(", "srcdoc", "javascript:",
    ],
)  # fmt: skip
def test_no_script_makes_html_of_text_or_keeps_a_token(forbidden: str) -> None:
    assert [name for name, text in SOURCES.items() if forbidden in text] == []


def test_only_the_theme_is_kept() -> None:
    assert [name for name, text in SOURCES.items() if "localStorage" in text] == ["shell.js"]
    assert re.findall(r"localStorage\.\w+\((\w+)", SOURCES["shell.js"]) == ["KEY", "KEY"]


def test_nothing_is_loaded_from_elsewhere() -> None:
    for name, text in SOURCES.items():
        foreign = set(re.findall(r"https?://[^\s\"'`)]+", text)) - {"http://www.w3.org/2000/svg"}
        assert foreign == set(), name
