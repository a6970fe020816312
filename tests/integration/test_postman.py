"""The Postman collection, sent by newman to a real gateway: every request gets an answer that the documentation names."""

import json
import os
import shutil
from asyncio import create_subprocess_exec
from asyncio.subprocess import PIPE, STDOUT
from pathlib import Path
from typing import Any

import pytest

from tunegate.sdk.testing.gateway_process import GatewayProcess

ROOT = Path(__file__).parents[2]
COLLECTION = ROOT / "docs/postman/tunegate.postman_collection.json"
OWN = ROOT / "build/tools/node_modules/.bin"
NEWMAN = shutil.which("newman", path=f"{OWN}:{os.environ['PATH']}")
ADMIN = "an-admins-token-of-this-test"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(NEWMAN is None, reason="no newman here: make postman"),
]


async def newman(gateway: GatewayProcess, report: Path, collection: Path) -> tuple[int, str]:
    assert NEWMAN is not None
    process = await create_subprocess_exec(
        *(NEWMAN, "run", str(collection), "--reporters", "cli,json"),
        *("--reporter-json-export", str(report), "--color", "off", "--timeout-request", "20000"),
        *("--env-var", f"baseUrl={gateway.url}", "--env-var", f"token={ADMIN}"),
        stdout=PIPE, stderr=STDOUT,
    )  # fmt: skip
    assert process.stdout is not None
    said = (await process.stdout.read()).decode()
    return await process.wait(), said


def answers(report: Path) -> dict[str, int]:
    """Of each request by method and path: the status."""
    found: dict[str, int] = {}
    executions: list[dict[str, Any]] = json.loads(report.read_text())["run"]["executions"]
    for execution in executions:
        call = execution["item"]["name"].rpartition("(")[2].strip(")")
        found[call] = execution["response"]["code"]
    return found


async def test_every_request_is_answered_as_documented(tmp_path: Path) -> None:
    config = f'auth.tokens = [{{name = "operator", token = "{ADMIN}", admin = true}}]\n'
    async with GatewayProcess(tmp_path / "gateway", None, extra_config=config) as gateway:
        code, said = await newman(gateway, tmp_path / "report.json", COLLECTION)
        assert code == 0, said
        wrong = tmp_path / "wrong.json"
        wrong.write_text(COLLECTION.read_text().replace("expect([200", "expect([299"))
        code, _ = await newman(gateway, tmp_path / "wrong-report.json", wrong)
        assert code == 1, "an answer that is not documented is not seen"
    found = answers(tmp_path / "report.json")
    good = {
        "POST /tokens": 201,
        "GET /tokens": 200,
        "POST /tokens/{token_id}/rotate": 201,
        "DELETE /tokens/{token_id}": 204,
        "POST /train": 201,
        "GET /train": 200,
        "GET /train/{job_id}": 200,
        "GET /train/{job_id}/events": 200,
        "GET /train/{job_id}/webhooks": 200,
        "POST /train/{job_id}/cancel": 200,
        "GET /audit": 200,
        "GET /metrics": 200,
        "GET /readyz": 200,
        "GET /schema/openapi.json": 200,
        "GET /backends": 200,
        "GET /launchers": 200,
    }
    assert {call: found[call] for call in good} == good
