"""Over TLS a store is believed by its certificate and its name, and hears nothing before that."""

import datetime as dt
import ssl
from collections.abc import AsyncIterator
from ipaddress import ip_address
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tunegate.contract.request import Auth
from tunegate.contract.secret import Secret
from tunegate.contract.training import StoragePolicy
from tunegate.sdk.storage import StorageError
from tunegate.storage.s3 import S3Store

AUTH = Auth(aws_access_key_id=Secret("AKIA"), aws_secret_access_key=Secret("secret"))
URI = "s3://bucket/key"


def certificate(folder: Path, address: str) -> Path:
    """Key and self-signed certificate of a server at an address, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "store")])
    now = dt.datetime.now(dt.UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(address))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    file = folder / f"{address}.pem"
    file.write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain) + signed.public_bytes(pem)
    )
    return file


class Store:
    """A server that has every object, and what it was asked for."""

    def __init__(self, identity: Path) -> None:
        self.identity = identity
        self.asked: list[str] = []
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", self._answer)
        self._server = TestServer(application, scheme="https")

    async def _answer(self, request: web.Request) -> web.Response:
        self.asked.append(request.path)
        return web.Response(body=b"weights", headers={"ETag": '"1"'})

    async def start(self) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.identity)
        await self._server.start_server(ssl=context)

    async def close(self) -> None:
        await self._server.close()

    def client(self) -> S3Store:
        policy = StoragePolicy(
            allow_private_addresses=True,
            s3_endpoint_url=f"https://127.0.0.1:{self._server.port}",
            s3_path_style=True,
        )
        return S3Store(policy, AUTH)


@pytest.fixture(params=["127.0.0.1"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    made = Store(certificate(tmp_path, request.param))
    await made.start()
    yield made
    await made.close()


@pytest.mark.usefixtures("no_backoff")
async def test_a_certificate_that_nobody_vouches_for_is_not_believed(store: Store) -> None:
    async with store.client() as client:
        with pytest.raises(StorageError):
            await client.head(URI)
    assert store.asked == []


async def test_certificates_of_the_operator_are_believed(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_CA_BUNDLE", str(store.identity))
    for _ in range(2):  # the second client takes the certificates that the first one read
        async with store.client() as client:
            assert (await client.head(URI)).size_bytes == len(b"weights")
    assert store.asked == ["/bucket/key"] * 2


@pytest.mark.usefixtures("no_backoff")
@pytest.mark.parametrize("store", ["127.0.0.2"], indirect=True)
async def test_another_name_than_the_certificate_s_is_not_believed(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_CA_BUNDLE", str(store.identity))
    async with store.client() as client:
        with pytest.raises(StorageError):
            await client.head(URI)
    assert store.asked == []
