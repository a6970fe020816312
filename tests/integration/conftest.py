"""One S3 server and one small world for all integration tests; a gateway per module."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
import pytest_asyncio

from support.api import Api
from support.bucket import BASE, DATA, open_bucket
from support.world import BUCKET, corpus, jsonl, rows
from tunegate.sdk.testing.gateway_process import GatewayProcess
from tunegate.sdk.testing.s3_server import S3Server


@pytest.fixture(scope="session")
def base_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama of two layers with random weights and a real tokenizer."""
    folder = tmp_path_factory.mktemp("base")
    text = folder.parent / "corpus.txt"
    text.write_text("\n".join(corpus()))
    subprocess.run(
        [sys.executable, "-m", "tunegate.trainer.tiny", str(folder), "--corpus", str(text)]
        + ["--hidden", "64", "--layers", "2", "--vocab", "384"],
        check=True,
    )
    return folder


@pytest.fixture(scope="session")
def world(s3_server: S3Server, base_model: Path) -> S3Server:
    """The S3 server with a bucket, the base model and the data in it."""

    async def fill() -> None:
        async with open_bucket(s3_server) as store:
            for path in sorted(base_model.iterdir()):
                await store.upload(path, BASE + path.name)
            await store.write(DATA, jsonl(rows(320)))

    s3_server.create_bucket(BUCKET)
    asyncio.run(fill())
    return s3_server


@pytest_asyncio.fixture
async def gateway(world: S3Server, tmp_path: Path) -> AsyncGenerator[GatewayProcess]:
    environment = {"OMP_NUM_THREADS": "1"}
    async with GatewayProcess(tmp_path / "gateway", world, environment=environment) as running:
        yield running


@pytest_asyncio.fixture
async def api(gateway: GatewayProcess) -> AsyncGenerator[Api]:
    async with Api(gateway.url, gateway.token) as client:
        yield client
