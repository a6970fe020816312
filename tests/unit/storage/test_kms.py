"""KMS as the sealer's key service, against a KMS server in a process of its own."""

import asyncio
import subprocess
import sys
import time
import urllib.request
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path
from urllib.error import URLError

import botocore.session
import pytest

from tunegate.control.key_file import read_ring
from tunegate.control.sealer import KEY, SealBroken, SealContext, Sealer, key_id_of
from tunegate.sdk.errors import TunegateError
from tunegate.sdk.key_service import WrongKey
from tunegate.sdk.testing.gateway_process import free_port
from tunegate.storage.kms import KmsKeys

pytestmark = pytest.mark.slow
PLACE = SealContext(tenant="acme", uid="u1", field="request")


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    pytest.importorskip("moto")
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        url = f"http://127.0.0.1:{port}"
        try:
            for _ in range(200):
                try:
                    with urllib.request.urlopen(url + "/moto-api/"):
                        break
                except URLError:
                    assert process.poll() is None, "the KMS server did not start"
                    time.sleep(0.1)
            yield url
        finally:
            process.terminate()


@pytest.fixture(autouse=True)
def identity(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "operator")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "operator-secret")


@pytest.fixture
def new_key(server: str) -> Iterator[str]:
    client = botocore.session.get_session().create_client(
        "kms", region_name="us-east-1", endpoint_url=server
    )
    yield client.create_key()["KeyMetadata"]["Arn"]
    client.close()


@pytest.fixture
async def kms(server: str, new_key: str) -> AsyncGenerator[KmsKeys]:
    async with KmsKeys(new_key, "us-east-1", server) as keys:
        yield keys


async def test_the_service_wraps_and_opens(kms: KmsKeys, tmp_path: Path) -> None:
    sealer = Sealer(tmp_path / "key", kms)
    fields = await sealer.seal("acme", "u1", {"request": b"secret"})
    assert key_id_of(fields[KEY]) == f"service:{kms.key_id}" == sealer.active
    assert await sealer.open(PLACE, fields["request"], fields[KEY]) == b"secret"
    # The key file alone opens nothing.
    with pytest.raises(SealBroken):
        await Sealer(tmp_path / "key").open(PLACE, fields["request"], fields[KEY])


async def test_a_wrapped_key_opens_for_its_job_alone(kms: KmsKeys) -> None:
    made = await kms.new_key({"job": "1"})
    assert len(made.plain) == 32
    assert await kms.unwrap(made.wrapped, {"job": "1"}, kms.key_id) == made.plain
    for wrapped, place in ((made.wrapped, {"job": "2"}), (made.wrapped[:-1] + b"x", {"job": "1"})):
        with pytest.raises(WrongKey):
            await kms.unwrap(wrapped, place, kms.key_id)


async def test_jobs_move_from_the_file_to_the_service(kms: KmsKeys, tmp_path: Path) -> None:
    before, after = Sealer(tmp_path / "key"), Sealer(tmp_path / "key", kms)
    fields = await before.seal("acme", "u1", {"request": b"secret"})
    assert await after.open(PLACE, fields["request"], fields[KEY]) == b"secret"
    key = await after.rewrapped(SealContext(tenant="acme", uid="u1", field=KEY), fields[KEY])
    assert key_id_of(key) == f"service:{kms.key_id}"
    assert await after.open(PLACE, fields["request"], key) == b"secret"
    assert before.digest(b"x") == after.digest(b"x")
    assert read_ring(tmp_path / "key").keys


async def test_a_service_that_is_down_is_trouble_and_not_a_loss(
    new_key: str, tmp_path: Path
) -> None:
    async with KmsKeys(new_key, "us-east-1", f"http://127.0.0.1:{free_port()}") as dead:
        sealer = Sealer(tmp_path / "key", dead)
        async with asyncio.timeout(60):
            with pytest.raises(TunegateError) as caught:
                await sealer.seal("acme", "u1", {"request": b"secret"})
        assert (caught.value.code, caught.value.retry_after_s) == ("unavailable", 5)
