"""Every way in which an address of a job or a setting is dialled, each with the product's own code."""

import asyncio
import contextlib
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

from faults.egress.corpus import Attack
from tunegate.contract.request import Auth
from tunegate.contract.secret import Secret
from tunegate.contract.training import StoragePolicy
from tunegate.egress import EgressClient, EgressError, EgressPolicy, EgressRefused
from tunegate.sdk.storage import NotAllowed, StorageError
from tunegate.storage.open import open_store

Channel = Callable[[Attack], Awaitable[None]]
EGRESS = EgressPolicy(allow_http=True, allowed_ports=(), connect_timeout_s=2, total_timeout_s=3)
STORAGE = StoragePolicy(allow_http=True)
KEYS = Auth(aws_access_key_id=Secret("AKIA"), aws_secret_access_key=Secret("secret"))
ROLE = Auth(
    aws_access_key_id=Secret("AKIA"),
    aws_secret_access_key=Secret("secret"),
    role_arn="arn:aws:iam::123456789012:role/a",
)


async def webhook(attack: Attack) -> None:
    async with EgressClient(EGRESS) as client:
        for _ in range(3):  # as retries do: a name may have changed its address meanwhile
            await client.post(attack.url(), b"{}", {})


async def webhook_unchecked(attack: Attack) -> None:
    """As if the early check of the text had a hole for everything: the socket has the last word."""
    async with EgressClient(EGRESS) as client:
        client._check = lambda _: None  # type: ignore[method-assign]
        for _ in range(3):
            await client.post(attack.url(), b"{}", {})


async def status_stream(attack: Attack) -> None:
    async with EgressClient(EGRESS) as client, client.websocket(attack.url("ws"), {}) as line:
        await line.send(b"{}")


async def data_source(attack: Attack) -> None:
    for _ in range(2):
        async with open_store(attack.url(), STORAGE) as store:
            await store.read(attack.url(), length=10)


async def weights(attack: Attack) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with open_store(attack.url(), STORAGE) as store:
            await store.download(attack.url(), Path(folder) / "weights")


async def s3_endpoint(attack: Attack) -> None:
    policy = StoragePolicy(allow_http=True, s3_endpoint_url=attack.url(), s3_path_style=True)
    await _read_object(policy, KEYS)


async def sts_endpoint(attack: Attack) -> None:
    policy = StoragePolicy(
        allow_http=True, s3_endpoint_url="http://93.184.216.34", sts_endpoint_url=attack.url()
    )
    await _read_object(policy, ROLE)


async def _read_object(policy: StoragePolicy, auth: Auth) -> None:
    async with open_store("s3://bucket/key", policy, auth) as store:
        await store.head("s3://bucket/key")
        await store.read("s3://bucket/key", length=10)


async def trainer_library(attack: Attack) -> None:
    """What trackers and the model hub dial by themselves, below the guard of the whole process."""
    await asyncio.to_thread(_with_libraries, attack.url())


def _with_libraries(url: str) -> None:
    import httpx
    import requests

    mistakes = (requests.RequestException, httpx.HTTPError, httpx.InvalidURL, ValueError)
    for _ in range(2):
        with contextlib.suppress(*mistakes):
            requests.get(url, timeout=2)
        with (
            contextlib.suppress(*mistakes),
            httpx.Client(follow_redirects=True, timeout=2) as client,
        ):
            client.get(url)


CHANNELS: dict[str, Channel] = {
    "webhook": webhook,
    "webhook unchecked": webhook_unchecked,
    "status stream": status_stream,
    "data source": data_source,
    "weights": weights,
    "s3 endpoint": s3_endpoint,
    "sts endpoint": sts_endpoint,
    "trainer library": trainer_library,
}
REFUSED = (EgressRefused, NotAllowed)
OTHER = (EgressError, StorageError)
