"""Our three stores pass the suite that every store must pass."""

from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tunegate.contract.request import Auth
from tunegate.contract.secret import Secret
from tunegate.contract.training import StoragePolicy
from tunegate.sdk.storage import ObjectStore
from tunegate.sdk.testing.object_store import ObjectStoreConformance
from tunegate.sdk.testing.s3_server import S3Server
from tunegate.storage.file import FileStore
from tunegate.storage.http import HttpStore
from tunegate.storage.s3 import S3Store

CANARY_TOKEN = "canary-token-7f3a"
BUCKET = "conformance"


class TestFileStore(ObjectStoreConformance):
    @pytest.fixture
    async def store(self, tmp_path: Path) -> AsyncIterator[ObjectStore]:
        async with FileStore(StoragePolicy(file_roots=[str(tmp_path / "root")])) as store:
            yield store

    @pytest.fixture
    def prefix(self, tmp_path: Path) -> str:
        return f"file://{tmp_path}/root/"


class TestFileStoreByPlainPath(TestFileStore):
    @pytest.fixture
    def prefix(self, tmp_path: Path) -> str:
        return f"{tmp_path}/root/"


@pytest.mark.s3
class TestS3Store(ObjectStoreConformance):
    presigns = True

    @pytest.fixture
    async def store(
        self, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
    ) -> AsyncIterator[ObjectStore]:
        s3_server.create_bucket(BUCKET)
        # Small pages, so that thirty objects take several.
        monkeypatch.setattr(S3Store, "page_size", 7)
        monkeypatch.setattr(type(self), "canaries", (s3_server.access_key, s3_server.secret_key))
        policy = StoragePolicy(
            s3_endpoint_url=s3_server.endpoint_url,
            s3_path_style=True,
            allow_private_addresses=True,
        )
        auth = Auth(
            aws_access_key_id=Secret(s3_server.access_key),
            aws_secret_access_key=Secret(s3_server.secret_key),
        )
        async with S3Store(policy, auth) as store:
            yield store

    @pytest.fixture
    def prefix(self) -> str:
        return f"s3://{BUCKET}/{uuid4().hex}/"


class TestHttpStore(ObjectStoreConformance):
    writable = False
    conditional = False
    canaries = (CANARY_TOKEN,)

    @pytest.fixture
    async def store(self) -> AsyncIterator[ObjectStore]:
        policy = StoragePolicy(allow_http=True, allow_private_addresses=True)
        async with HttpStore(policy, Auth(token=Secret(CANARY_TOKEN))) as store:
            yield store

    @pytest.fixture
    async def prefix(self, tmp_path: Path) -> AsyncIterator[str]:
        self.folder = tmp_path / "served"
        self.folder.mkdir()
        app = web.Application()
        app.router.add_static("/", self.folder)
        async with TestServer(app) as server:
            yield str(server.make_url("/"))

    async def put(self, store: ObjectStore, uri: str, data: bytes) -> None:
        (self.folder / uri.rpartition("/")[2]).write_bytes(data)
