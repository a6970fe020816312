import json
from pathlib import Path
from typing import Any

import pytest

from tunegate.docs.pages import render_all
from tunegate.http.app import create_routes
from tunegate.http.openapi import operations
from tunegate.sdk.errors import CATALOGUE

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def rendered() -> dict[str, str]:
    return render_all(ROOT)


@pytest.mark.parametrize(
    "name",
    [
        "config/gateway.toml",
        "docs/CLI.md",
        "docs/ERRORS.md",
        "docs/API_SPEC.md",
        "docs/SETTINGS.md",
        "docs/HELM.md",
        "deploy/helm/tunegate/values.schema.json",
        "docs/postman/tunegate.postman_collection.json",
    ],
)
def test_documents_are_as_the_code_says(rendered: dict[str, str], name: str) -> None:
    assert (ROOT / name).read_text() == rendered[name], "run `python -m tunegate.docs`"


def test_every_error_is_listed_once(rendered: dict[str, str]) -> None:
    for code in CATALOGUE:
        assert rendered["docs/ERRORS.md"].count(f"| `{code}` |") == 1


def test_every_example_lies_in_config_too() -> None:
    shipped = ROOT / "src/tunegate/http/examples"
    for file in shipped.glob("*.json"):
        assert (ROOT / "config/jobs" / file.name).read_bytes() == file.read_bytes()


def test_the_page_has_all_its_blocks_filled(rendered: dict[str, str]) -> None:
    page = rendered["docs/API_SPEC.md"]
    for needed in (
        "`POST /{backend}/train`",
        "#### TrainRequest",
        "#### WebhookBody",
        "`bnb_4bit_quant_type`",
    ):
        assert needed in page


def requests_of(folder: dict[str, Any]) -> list[dict[str, Any]]:
    below = [request for item in folder.get("item", []) for request in requests_of(item)]
    return below + ([folder["request"]] if "request" in folder else [])


def test_the_collection_has_every_route_and_knows_its_variables(rendered: dict[str, str]) -> None:
    collection = json.loads(rendered["docs/postman/tunegate.postman_collection.json"])
    assert collection["info"]["schema"].endswith("/v2.1.0/collection.json")
    variables = {variable["key"] for variable in collection["variable"]}
    found: set[tuple[str, str]] = set()
    for request in requests_of(collection):
        path = "/" + "/".join(request["url"]["path"])
        found.add((request["method"], path.replace("{{", "{").replace("}}", "}")))
        used = {part.strip("{}") for part in request["url"]["path"] if part.startswith("{{")}
        assert used <= variables
        if "body" in request:
            json.loads(request["body"]["raw"])
    assert found == {(method, path) for path, method, _ in operations(create_routes())}
