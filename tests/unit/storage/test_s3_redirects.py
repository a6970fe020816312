"""A store that answers with a redirect is not followed: the session token and the bytes are meant for it alone."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tunegate.contract.request import Auth
from tunegate.contract.secret import Secret
from tunegate.contract.training import StoragePolicy
from tunegate.sdk.storage import NotAllowed, ObjectStore, StorageError, Unsupported
from tunegate.storage.open import open_store

AUTH = Auth(
    aws_access_key_id=Secret("AKIA"),
    aws_secret_access_key=Secret("secret"),
    aws_session_token=Secret("token"),
)
URI = "s3://bucket/key"


@asynccontextmanager
async def redirecting(status: int, seen: list[str], **extra: str) -> AsyncGenerator[ObjectStore]:
    """A store whose server sends everybody to another one, which notes who came; `extra` are more headers."""

    async def note(request: web.Request) -> web.Response:
        seen.append(request.method)
        return web.Response(headers={"ETag": '"1"'})

    async def redirect(request: web.Request) -> web.Response:
        location = f"http://localhost:{elsewhere.port}{request.path}"
        return web.Response(status=status, headers={"Location": location, **extra})

    there, here = web.Application(), web.Application()
    there.router.add_route("*", "/{path:.*}", note)
    here.router.add_route("*", "/{path:.*}", redirect)
    async with TestServer(there) as elsewhere, TestServer(here) as server:
        policy = StoragePolicy(
            allow_http=True,
            allow_private_addresses=True,
            s3_endpoint_url=f"http://127.0.0.1:{server.port}",
            s3_path_style=True,
        )
        async with open_store(URI, policy, AUTH) as store:
            yield store


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_nobody_is_followed(status: int) -> None:
    seen: list[str] = []
    async with redirecting(status, seen) as store:
        for attempt in (store.head(URI), store.read(URI), store.write(URI, b"weights")):
            with pytest.raises(NotAllowed, match="redirect"):
                await attempt
    assert seen == []


async def test_a_bucket_of_another_region_is_asked_for_once_more_and_not_elsewhere() -> None:
    seen: list[str] = []
    async with redirecting(301, seen, **{"x-amz-bucket-region": "eu-west-1"}) as store:
        with pytest.raises(StorageError):
            await store.head(URI)
    assert seen == []


async def test_an_address_with_a_user_is_none_and_tried_once() -> None:
    policy = StoragePolicy(
        allow_http=True, s3_endpoint_url="http://user@127.0.0.1:9", s3_path_style=True
    )
    async with open_store(URI, policy, AUTH) as store:
        with pytest.raises(Unsupported):
            await store.head(URI)
