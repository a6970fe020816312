import json
import re
from html.parser import HTMLParser
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from litestar import Litestar
from litestar.testing import AsyncTestClient
from openapi_spec_validator import validate

from support.door import CANONICAL
from tunegate.http.app import create_routes
from tunegate.http.openapi import build_document, operations
from tunegate.http.settings import ServerSettings
from tunegate.sdk.errors import CATALOGUE

Client = AsyncTestClient[Litestar]
PAGES = ("/schema", "/schema/errors", "/schema/app.js", "/schema/style.css")


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return json.loads(json.dumps(build_document(create_routes(), ServerSettings())))


def test_every_operation_stands_in_a_section_of_the_page(document: dict[str, Any]) -> None:
    sections = {tag["name"] for tag in document["tags"]}
    used = {
        tag for path in document["paths"].values() for one in path.values() for tag in one["tags"]
    }
    assert used == sections
    assert document["tags"][0]["name"] == "jobs"


def test_the_document_is_valid_openapi(document: dict[str, Any]) -> None:
    assert document["openapi"] == "3.1.0"
    validate(document)


def test_it_shows_the_request_with_examples_that_fit(document: dict[str, Any]) -> None:
    content = document["paths"]["/train"]["post"]["requestBody"]["content"]["application/json"]
    assert content["schema"] == {"$ref": "#/components/schemas/TrainRequest"}
    assert content["examples"]["canonical"]["value"] == json.loads(CANONICAL)
    schema = document | content["schema"]
    for shown in content["examples"].values():
        Draft202012Validator(schema).validate(shown["value"])


def test_it_knows_every_route_and_only_those(document: dict[str, Any]) -> None:
    shown = {(m.upper(), p) for p, methods in document["paths"].items() for m in methods}
    assert shown == {(method, path) for path, method, _ in operations(create_routes())}


def test_errors_are_problem_details_everywhere(document: dict[str, Any]) -> None:
    for methods in document["paths"].values():
        for operation in methods.values():
            bad = {s: r for s, r in operation["responses"].items() if s >= "400"}
            assert "500" in bad
            assert all("application/problem+json" in r["content"] for r in bad.values())


async def test_pages_need_nothing_from_elsewhere(client: Client) -> None:
    for path in PAGES:
        answer = await client.get(path)
        assert answer.status_code == 200
        assert not re.findall(
            r"""(?:src|href|url|import|fetch)\W{1,3}(?:https?:)?//""", answer.text
        )
    policy = (await client.get("/schema")).headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


async def test_pages_hold_no_inline_script_or_style(client: Client) -> None:
    class Finder(HTMLParser):
        inline: list[str] = []

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            names = {name for name, _ in attrs}
            if (tag == "script" and "src" not in names) or tag == "style" or "style" in names:
                self.inline.append(tag)
            self.inline += [name for name in names if name.startswith("on")]

    finder = Finder()
    for path in ("/schema", "/schema/errors"):
        finder.feed((await client.get(path)).text)
    assert finder.inline == []


async def test_the_type_of_every_problem_leads_to_its_entry(client: Client) -> None:
    page = (await client.get("/schema/errors")).text
    assert all(f'id="{code}"' in page for code in CATALOGUE)


async def test_the_served_document_is_this_one(client: Client, document: dict[str, Any]) -> None:
    assert (await client.get("/schema/openapi.json")).json() == document
