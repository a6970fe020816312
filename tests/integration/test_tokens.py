"""Tokens of a running gateway, made and ended with the command as an operator does it."""

import asyncio
import sys
from pathlib import Path

import aiohttp
import pytest

from tunegate.sdk.testing.gateway_process import GatewayProcess

pytestmark = pytest.mark.slow
OPERATOR = """
auth.tokens = [{ name = "operator", token = "token-of-the-operator", admin = true }]
"""


async def command(gateway: GatewayProcess, *arguments: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tunegate.cli", "token", *arguments),
        env={"TUNEGATE_URL": gateway.url, "TUNEGATE_TOKEN": "token-of-the-operator", "PATH": ""},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    return process.returncode or 0, out.decode().strip(), err.decode()


async def status(gateway: GatewayProcess, token: str) -> int:
    headers = {"authorization": f"Bearer {token}"}
    async with (
        aiohttp.ClientSession(gateway.url) as session,
        session.get("/train", headers=headers) as answer,
    ):
        return answer.status


async def test_a_tokens_life(tmp_path: Path) -> None:
    async with GatewayProcess(tmp_path, None, extra_config=OPERATOR) as gateway:
        code, token, said = await command(gateway, "create", "acme", "--label", "Ann")
        assert (code, token[:3]) == (0, "tg_"), said
        assert await status(gateway, token) == 200
        token_id = token.split("_")[1]
        _, new, _ = await command(gateway, "rotate", token_id, "--overlap", "0")
        assert (await status(gateway, token), await status(gateway, new)) == (401, 200)
        code, _, said = await command(gateway, "revoke", new.split("_")[1])
        assert code == 0, said
        assert await status(gateway, new) == 401
        await gateway.stop()
        assert all(secret not in gateway.log_file.read_text() for secret in (token, new))
        assert all(
            secret.encode() not in file.read_bytes()
            for file in gateway.state_dir.iterdir()
            if file.is_file()
            for secret in (token, new)
        )
