import asyncio
import random
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
import pytest
from msgspec.structs import replace

from tunegate.contract.request import Auth
from tunegate.contract.secret import Secret
from tunegate.contract.training import StoragePolicy
from tunegate.sdk.storage import (
    AccessDenied,
    NotAllowed,
    ObjectNotFound,
    StorageError,
    StoreUnavailable,
    Unsupported,
)
from tunegate.sdk.testing.s3_server import S3Server
from tunegate.storage import multipart
from tunegate.storage.s3 import S3Store

pytestmark = pytest.mark.s3

ProxyTo = Callable[[str], Awaitable[Any]]
DATA = random.Random(4).randbytes(3 * 2**20)


@pytest.fixture
def uri() -> str:
    return f"s3://unit/{uuid4().hex}"


def as_role(keys: Auth, role_arn: str) -> Auth:
    return replace(keys, role_arn=role_arn, external_id=Secret("canary-external-id"))


async def test_a_role_may_do_what_its_policy_says(
    s3_server: S3Server, policy: StoragePolicy, keys: Auth, uri: str
) -> None:
    async with S3Store(policy, as_role(keys, s3_server.role_arn)) as writer:
        await writer.write(uri, b"by the role")
    async with S3Store(policy, as_role(keys, s3_server.reader_role_arn)) as reader:
        assert await reader.read(uri) == b"by the role"
        with pytest.raises(AccessDenied, match="403"):
            await reader.write(uri, b"no")
        link = await reader.presign(uri, expires_s=60)
    async with aiohttp.ClientSession() as session, session.get(link) as answer:
        assert await answer.read() == b"by the role"


async def test_an_unknown_role_is_denied(
    s3_server: S3Server, policy: StoragePolicy, keys: Auth, uri: str
) -> None:
    unknown = as_role(keys, s3_server.role_arn + "-unknown")
    async with S3Store(policy, unknown) as store:
        with pytest.raises(AccessDenied, match="role could not be assumed") as caught:
            await store.read(uri)
    assert "canary" not in str(caught.value)


async def test_role_credentials_are_renewed_before_they_end(
    s3_server: S3Server,
    policy: StoragePolicy,
    keys: Auth,
    uri: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from datetime import UTC, datetime, timedelta

    from tunegate.storage import aws

    now = datetime.now(UTC)
    assumed = 0
    real = aws._assume_role

    def counting(*args: Any) -> Any:
        assume = real(*args)

        async def count() -> dict[str, str]:
            nonlocal assumed
            assumed += 1
            return await assume()

        return count

    real_credentials = aws.AioDeferredRefreshableCredentials
    monkeypatch.setattr(aws, "_assume_role", counting)
    monkeypatch.setattr(
        aws,
        "AioDeferredRefreshableCredentials",
        lambda **options: real_credentials(**options, time_fetcher=lambda: now),
    )
    async with S3Store(policy, as_role(keys, s3_server.role_arn)) as store:
        await store.write(uri, b"1")
        await store.write(uri, b"2")
        assert assumed == 1
        now += timedelta(minutes=52)
        await store.write(uri, b"3")
        assert assumed == 2


@pytest.mark.parametrize("half", [{"aws_secret_access_key": None}, {"aws_access_key_id": None}])
async def test_half_a_key_pair(policy: StoragePolicy, keys: Auth, half: dict[str, None]) -> None:
    with pytest.raises(AccessDenied, match="go together"):
        async with S3Store(policy, replace(keys, **half)):
            pass


async def test_a_wrong_secret_is_denied(policy: StoragePolicy, keys: Auth, uri: str) -> None:
    wrong = replace(keys, aws_secret_access_key=Secret("canary-secret"))
    async with S3Store(policy, wrong) as store:
        for attempt in (store.read(uri), store.write(uri, b"x"), store.head(uri)):
            with pytest.raises(AccessDenied) as caught:
                await attempt
            assert "canary" not in str(caught.value)


@pytest.mark.parametrize("role_arn", [None, "arn:aws:iam::123456789012:role/FineTune"])
async def test_without_credentials_nothing_is_tried(
    policy: StoragePolicy,
    s3_server: S3Server,
    role_arn: str | None,
    monkeypatch: pytest.MonkeyPatch,
    uri: str,
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3_server.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3_server.secret_key)
    auth = Auth(role_arn=role_arn)
    with pytest.raises(AccessDenied, match="allow_ambient_credentials"):
        async with S3Store(policy, auth):
            pass
    async with S3Store(replace(policy, allow_ambient_credentials=True), auth) as store:
        await store.write(uri, b"with this machine's own")


async def test_the_machines_aws_settings_do_not_matter(
    policy: StoragePolicy, keys: Auth, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "AWS_PROFILE": "there-is-no-such-profile",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
        "HTTP_PROXY": "http://127.0.0.1:9",
        "http_proxy": "http://127.0.0.1:9",
    }.items():
        monkeypatch.setenv(name, value)
    async with S3Store(policy, keys) as store:
        await store.write(uri, b"x")
        assert await store.read(uri) == b"x"
    async with S3Store(replace(policy, s3_endpoint_url=None), keys) as store:
        assert "amazonaws.com" in store._client.meta.endpoint_url


async def test_s3_and_sts_are_behind_the_guard(
    s3_server: S3Server, policy: StoragePolicy, keys: Auth, uri: str
) -> None:
    guarded = replace(policy, allow_private_addresses=False)
    for auth in (keys, as_role(keys, s3_server.role_arn)):
        async with S3Store(guarded, auth) as store:
            with pytest.raises(NotAllowed, match="loopback"):
                await store.read(uri)


async def test_missing_bucket_and_bad_addresses(policy: StoragePolicy, keys: Auth) -> None:
    async with S3Store(policy, keys) as store:
        with pytest.raises(ObjectNotFound):
            await store.read("s3://no-such-bucket-here/key")
        await store.delete("s3://no-such-bucket-here/key")
        for address in ("s3://", "s3:///key", "s3://a/key", "s3://user@bucket/key", "s3://unit/"):
            with pytest.raises(Unsupported):
                await store.read(address)


async def test_a_bad_region_is_named(policy: StoragePolicy, keys: Auth) -> None:
    with pytest.raises(Unsupported, match="aws_region"):
        async with S3Store(policy, replace(keys, aws_region="-bad-")):
            pass


async def test_a_broken_stream_goes_on_where_it_broke(
    policy: StoragePolicy, keys: Auth, uri: str, s3_server: S3Server, proxy_to: ProxyTo, clock: Any
) -> None:
    proxy = await proxy_to(s3_server.endpoint_url)
    async with S3Store(policy, keys) as direct:
        await direct.write(uri, DATA)
    through = replace(policy, s3_endpoint_url=proxy.url)
    async with S3Store(through, keys, clock=clock) as store:
        proxy.faults = [700_000, 900_000, 50_000]
        assert b"".join([chunk async for chunk in store.stream(uri, offset=10)]) == DATA[10:]
    assert proxy.connections == 4
    assert len(clock.slept) == 3


async def test_a_stream_that_never_gets_on_fails(
    policy: StoragePolicy,
    keys: Auth,
    uri: str,
    s3_server: S3Server,
    proxy_to: ProxyTo,
    clock: Any,
    no_backoff: None,
) -> None:
    proxy = await proxy_to(s3_server.endpoint_url)
    async with S3Store(policy, keys) as direct:
        await direct.write(uri, DATA)
    async with S3Store(replace(policy, s3_endpoint_url=proxy.url), keys, clock=clock) as store:
        proxy.faults = [0] * 100
        with pytest.raises(StoreUnavailable):
            await store.read(uri)
    assert proxy.connections < 30


async def test_an_object_that_changes_meanwhile_is_noticed(
    policy: StoragePolicy, keys: Auth, uri: str, s3_server: S3Server, proxy_to: ProxyTo, clock: Any
) -> None:
    proxy = await proxy_to(s3_server.endpoint_url)
    async with S3Store(policy, keys) as direct:
        await direct.write(uri, DATA)
        proxy.faults = [700_000]
        async with S3Store(replace(policy, s3_endpoint_url=proxy.url), keys, clock=clock) as store:
            stream = store.stream(uri)
            await anext(stream)
            await direct.write(uri, DATA[::-1])
            with pytest.raises(StorageError, match="changed"):
                _ = [chunk async for chunk in stream]


async def test_storms_of_503_are_ridden_out(
    policy: StoragePolicy,
    keys: Auth,
    uri: str,
    s3_server: S3Server,
    proxy_to: ProxyTo,
    no_backoff: None,
) -> None:
    proxy = await proxy_to(s3_server.endpoint_url)
    async with S3Store(replace(policy, s3_endpoint_url=proxy.url), keys) as store:
        proxy.faults = ["busy"] * 3
        await store.write(uri, b"through the storm")
        assert await store.read(uri) == b"through the storm"
    assert proxy.connections == 4
    async with S3Store(replace(policy, s3_endpoint_url=proxy.url), keys) as store:
        proxy.faults = ["busy"] * 20
        with pytest.raises(StoreUnavailable, match="503"):
            await store.head(uri)


async def test_a_failed_download_leaves_nothing(
    policy: StoragePolicy,
    keys: Auth,
    uri: str,
    s3_server: S3Server,
    proxy_to: ProxyTo,
    clock: Any,
    no_backoff: None,
    tmp_path: Path,
) -> None:
    proxy = await proxy_to(s3_server.endpoint_url)
    async with S3Store(policy, keys) as direct:
        await direct.write(uri, DATA)
    async with S3Store(replace(policy, s3_endpoint_url=proxy.url), keys, clock=clock) as store:
        proxy.faults = [1_000_000] + [0] * 100
        with pytest.raises(StorageError):
            await store.download(uri, tmp_path / "target")
    assert list(tmp_path.iterdir()) == []


def unfinished_uploads(server: S3Server) -> list[Any]:
    client = server.client()
    try:
        return client.list_multipart_uploads(Bucket="unit").get("Uploads", [])
    finally:
        client.close()


@pytest.mark.parametrize("cancel", [False, True])
async def test_parts_of_a_failed_upload_are_removed(
    policy: StoragePolicy,
    keys: Auth,
    uri: str,
    s3_server: S3Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    cancel: bool,
) -> None:
    real, stuck = multipart._read, asyncio.Event()

    async def failing(descriptor: int, start: int, length: int) -> bytes:
        if start == 0:
            return await real(descriptor, start, length)
        stuck.set()
        if cancel:
            await asyncio.Event().wait()
        raise StorageError("planted")

    monkeypatch.setattr(multipart, "_read", failing)
    source = tmp_path / "big"
    source.write_bytes(bytes(20 * 2**20))
    async with S3Store(policy, keys) as store:
        upload = asyncio.create_task(store.upload(source, uri))
        await stuck.wait()
        if cancel:
            assert len(unfinished_uploads(s3_server)) == 1
            upload.cancel()
        with pytest.raises(asyncio.CancelledError if cancel else StorageError):
            await upload
        with pytest.raises(ObjectNotFound):
            await store.head(uri)
    assert unfinished_uploads(s3_server) == []


async def test_a_missing_source_is_the_callers_error(
    policy: StoragePolicy, keys: Auth, uri: str, tmp_path: Path
) -> None:
    async with S3Store(policy, keys) as store:
        with pytest.raises(FileNotFoundError):
            await store.upload(tmp_path / "none", uri)


async def test_only_one_of_many_conditional_writes_wins(
    policy: StoragePolicy, keys: Auth, uri: str
) -> None:
    async with S3Store(policy, keys) as store:
        tries = [store.write(uri, bytes([n]), if_absent=True) for n in range(8)]
        results = await asyncio.gather(*tries, return_exceptions=True)
        winners = [n for n, result in enumerate(results) if not isinstance(result, Exception)]
        assert len(winners) == 1
        assert await store.read(uri) == bytes(winners)
