"""Schemathesis reads the gateway's own OpenAPI and makes requests for every route, good ones and spoiled ones."""

import asyncio
import re
import sys
from pathlib import Path

import pytest

from faults.http.gateway import TOKEN
from faults.http.process import process
from faults.report import rounds

CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
WITHOUT_END = "events|logs"
"""Streams: they have tests of their own."""


@pytest.mark.slow
async def test_every_route_keeps_its_own_description(tmp_path: Path) -> None:
    async with process(tmp_path / "gateway") as (url, _pid):
        program = await asyncio.create_subprocess_exec(
            *(str(Path(sys.executable).parent / "schemathesis"), "run", f"{url}/schema/openapi.json"),
            *("-H", f"Authorization: Bearer {TOKEN}", "--checks", CHECKS, "--seed", "1", "--no-color"),
            *("-n", str(rounds(3, 400)), "--phases", "fuzzing,coverage" if rounds(0, 1) else "fuzzing"),
            *("--exclude-path-regex", WITHOUT_END, "--request-timeout", "20"),
            cwd=tmp_path, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        said = (await program.communicate())[0].decode()
    counted = re.search(r"(\d+) generated", said)
    tried = int(counted[1]) if counted else 0
    assert program.returncode == 0, said[-6000:]
    assert tried > 40
