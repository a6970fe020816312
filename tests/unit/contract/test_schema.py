import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from tunegate.contract.request import TrainRequest
from tunegate.contract.schema import components, schema_of

JOBS = Path(__file__).parents[3] / "config/jobs"


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    return schema_of(TrainRequest)


@pytest.mark.parametrize("file", sorted(JOBS.glob("*.json")), ids=lambda file: file.stem)
def test_examples_fit_the_schema(schema: dict[str, Any], file: Path) -> None:
    Draft202012Validator(schema).validate(json.loads(file.read_bytes()))


def test_the_schema_refuses_what_the_decoder_refuses(schema: dict[str, Any]) -> None:
    body = json.loads((JOBS / "canonical.json").read_bytes())
    body["job_id"] = "../x"
    body["datasets"][0]["format"] = "xls"
    body["extra"] = 1
    found = {tuple(error.absolute_path) for error in Draft202012Validator(schema).iter_errors(body)}
    assert found == {("job_id",), ("datasets", 0, "format"), ()}


def test_secrets_are_passwords_that_are_only_written() -> None:
    auth = components()["Auth"]["properties"]["token"]
    assert {"type": "string", "format": "password", "writeOnly": True} in auth["anyOf"]
