import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from ipaddress import ip_address

import msgspec
import pytest
from aiohttp import WSMsgType, web
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.test_utils import TestServer

from tunegate.egress import (
    EgressClient,
    EgressFailed,
    EgressPolicy,
    EgressRefused,
    check_url,
    guarded_socket_factory,
)
from tunegate.egress.addresses import refusal

STRICT = EgressPolicy(allow_http=True, allowed_ports=())
LOCAL = EgressPolicy(allow_http=True, allow_private_addresses=True, allowed_ports=())

HOSTILE_HOSTS = (
    "127.0.0.1", "127.1", "127.0.1", "127.255.255.254", "127.0.0.1.", "0", "0.0.0.0", "0.1.2.3",
    "0x7f.1", "0x7f000001", "0x7F.0x0.0x0.0x1", "2130706433", "017700000001", "0177.0.0.1", "0177.1", "00000177.0.0.1",
    "10.0.0.1", "10.1", "172.16.0.1", "172.31.255.255", "192.168.0.1", "192.168.257", "3232235777",
    "100.64.0.1", "100.100.100.200", "169.254.169.254", "169.254.170.2", "0xa9fea9fe", "2852039166", "0251.0376.0251.0376",
    "168.63.129.16", "192.0.0.192", "192.0.2.1", "192.88.99.1", "198.18.0.1", "198.51.100.1", "203.0.113.1",
    "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255",
    "[::]", "[::1]", "[0:0:0:0:0:0:0:1]", "[::127.0.0.1]", "[::169.254.169.254]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]",
    "[::ffff:10.0.0.1]", "[::ffff:8.8.8.8]", "[::ffff:0:127.0.0.1]", "[64:ff9b::a9fe:a9fe]", "[64:ff9b::127.0.0.1]",
    "[64:ff9b:1::7f00:1]", "[2002:7f00:1::]", "[2002:a9fe:a9fe::]", "[2001::1]", "[2001:0:7f00:1::]", "[2001:db8::1]",
    "[3fff::1]", "[100::1]", "[5f00::1]", "[fc00::1]", "[fd00:ec2::254]", "[fd12:3456::1]", "[fe80::1]", "[fe80::1%25eth0]",
    "[fec0::1]", "[ff02::1]", "[ff0e::1]", "localhost", "LOCALHOST", "localhost.", "a.localhost", "foo.bar.LocalHost.",
    "\uff11\uff12\uff17.0.0.1", "①②⑦.⓪.⓪.①", "127。0。0。1", "ⓛⓞⓒⓐⓛⓗⓞⓢⓣ",
)  # fmt: skip

HOSTILE_URLS = (
    "file:///etc/passwd", "gopher://example.com/", "ftp://example.com/", "//example.com/", "example.com", "http:example.com",
    "https://user@example.com/", "https://user:hunter2@example.com/", "https://:hunter2@example.com/", "https://example.com@127.0.0.1/",
    "https://127.0.0.1@example.com/", "https://example.com\\@127.0.0.1/", "https://127.0.0.1\\.example.com/",
    "https://example.com /", "https://exam\tple.com/", "https://example.com/\r\nHost: a", "https://example.com/\x00",
    "https:///path", "https://", "https://[::1", "https://example.com:0/", "https://example.com:99999/", "https://example.com:-1/",
    "https://127.0.0.1%2f@example.com/", "https://localhost%00.example.com/", "https://%31%32%37.0.0.1/",
    "https://example.com:22/", "https://example.com:6379/", "https://" + "a" * 9000,
)  # fmt: skip

PUBLIC_URLS = (
    "https://example.com/hook?token=1", "https://8.8.8.8/", "https://1.1.1.1/", "https://[2606:4700:4700::1111]/",
    "https://xn--bcher-kva.example/", "https://bücher.example/", "https://example.com:8443/a%20b", "https://172.32.0.1/",
    "https://100.63.255.255/", "https://127.example.com/", "https://0x.example.com/", "wss://example.com/stream",
    "https://localhost.example.com/",
)  # fmt: skip


@pytest.mark.parametrize("host", HOSTILE_HOSTS)
def test_hostile_hosts_are_refused_early(host: str) -> None:
    assert check_url(f"http://{host}/hook", STRICT) is not None


@pytest.mark.parametrize("host", HOSTILE_HOSTS)
async def test_hostile_hosts_are_never_dialled(host: str, dials: list[str]) -> None:
    # Past the early check, as if it had a hole: the socket has the last word.
    url = f"http://{host}/hook"
    async with EgressClient(STRICT) as client:
        client._check = lambda _: None  # type: ignore[method-assign]
        with pytest.raises((EgressRefused, EgressFailed)):
            await client.post(url, b"", {})
    assert dials == []


@pytest.mark.parametrize("url", HOSTILE_URLS)
def test_hostile_urls_are_refused(url: str) -> None:
    reason = check_url(url, EgressPolicy())
    assert reason is not None
    assert "hunter2" not in reason
    assert "example" not in reason


@pytest.mark.parametrize("url", PUBLIC_URLS)
def test_public_urls_pass(url: str) -> None:
    assert check_url(url, EgressPolicy()) is None


@pytest.mark.parametrize("url", ["http://example.com/", "ws://example.com/"])
def test_unencrypted_needs_permission(url: str) -> None:
    assert "http://" in (check_url(url, EgressPolicy()) or "")
    assert check_url(url, EgressPolicy(allow_http=True)) is None


def test_metadata_stays_closed_when_private_is_open() -> None:
    for address in ("169.254.169.254", "fd00:ec2::254", "100.100.100.200", "0.0.0.0", "::"):
        assert refusal(ip_address(address), allow_private=True) is not None
    for address in ("10.0.0.1", "127.0.0.1", "::1", "fc00::1", "100.64.0.1"):
        assert refusal(ip_address(address), allow_private=True) is None


def test_exceptions_open_single_networks() -> None:
    policy = EgressPolicy(allowed_networks=("10.1.0.0/16", "169.254.7.7/32"))
    assert check_url("https://10.1.2.3/", policy) is None
    assert check_url("https://169.254.7.7/", policy) is None
    assert check_url("https://10.2.0.1/", policy) is not None


@pytest.mark.parametrize("table", [{"allowed_networks": ["10.0.0.1/8"]}, {"allowed_ports": [0]}])
def test_a_wrong_policy_is_refused(table: dict[str, object]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(table, EgressPolicy)


def test_the_socket_checks_the_port_too() -> None:
    make = guarded_socket_factory(EgressPolicy())
    with pytest.raises(EgressRefused, match="port"):
        make((socket.AF_INET, socket.SOCK_STREAM, 6, "", ("8.8.8.8", 22)))
    make((socket.AF_INET, socket.SOCK_STREAM, 6, "", ("8.8.8.8", 443))).close()


class Rebinding(AbstractResolver):
    """Says one address at first and others later, as an attacker's name server does."""

    def __init__(self, *answers: str) -> None:
        self._answers = list(answers)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        address = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        return [
            ResolveResult(hostname=host, host=address, port=port, family=family, proto=0, flags=0)
        ]

    async def close(self) -> None:
        return None


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "169.254.169.254", "10.0.0.8", "::1", "64:ff9b::7f00:1"]
)
async def test_names_that_resolve_inwards_are_refused(address: str, dials: list[str]) -> None:
    async with EgressClient(STRICT, resolver=Rebinding(address)) as client:
        with pytest.raises(EgressRefused) as caught:
            await client.post("http://hooks.example/x?secret=canary", b"", {})
    assert "not allowed" in str(caught.value)
    assert address not in str(caught.value)
    assert "canary" not in str(caught.value)
    assert dials == []


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@pytest.fixture
def dials(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every address that a connection is tried to; none is made."""
    seen: list[str] = []

    async def note(self: object, sock: socket.socket, address: tuple[str, int]) -> None:
        seen.append(address[0])
        raise ConnectionRefusedError(111, "Connection refused")

    monkeypatch.setattr(asyncio.SelectorEventLoop, "sock_connect", note)
    return seen


@pytest.fixture
async def serve() -> AsyncIterator[Callable[[Handler], Awaitable[str]]]:
    """Starts a server whose every route is one handler; gives its address."""
    servers: list[TestServer] = []

    async def start(handler: Handler) -> str:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", handler)
        server = TestServer(app)
        await server.start_server()
        servers.append(server)
        return str(server.make_url("/"))

    yield start
    for server in servers:
        await server.close()


Serve = Callable[[Handler], Awaitable[str]]


async def test_a_public_name_is_dialled(dials: list[str]) -> None:
    async with EgressClient(STRICT, resolver=Rebinding("93.184.216.34")) as client:
        with pytest.raises(EgressFailed, match="Connection refused"):
            await client.post("http://hooks.example/", b"", {})
    assert dials == ["93.184.216.34"]


async def test_post_reaches_a_local_receiver_when_allowed(serve: Serve) -> None:
    got: list[tuple[bytes, str]] = []

    async def receive(request: web.Request) -> web.Response:
        got.append((await request.read(), request.headers["authorization"]))
        return web.Response(status=429, headers={"retry-after": "7", "x-other": "1"})

    url = await serve(receive)
    async with EgressClient(LOCAL) as client:
        response = await client.post(url, b"body", {"authorization": "Bearer x"})
    assert (response.status, response.headers) == (429, {"retry-after": "7"})
    assert got == [(b"body", "Bearer x")]
    async with EgressClient(STRICT) as client:
        with pytest.raises(EgressRefused):
            await client.post(url, b"body", {})
    assert len(got) == 1


async def test_post_follows_no_redirect(serve: Serve) -> None:
    paths: list[str] = []

    async def receive(request: web.Request) -> web.Response:
        paths.append(request.path)
        raise web.HTTPTemporaryRedirect("/elsewhere")

    async with EgressClient(LOCAL) as client:
        response = await client.post(await serve(receive), b"", {})
    assert (response.status, paths) == (307, ["/"])


async def test_get_checks_every_hop_and_keeps_credentials_home(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str | None] = []

    async def target(request: web.Request) -> web.Response:
        seen.append(request.headers.get("authorization"))
        return web.Response(body=b"data")

    target_url = await serve(target)

    async def redirect(request: web.Request) -> web.Response:
        seen.append(request.headers.get("authorization"))
        raise web.HTTPFound("http://169.254.169.254/" if request.path == "/bad" else target_url)

    url = await serve(redirect)
    async with EgressClient(LOCAL) as client:
        async with client.get(url, {"Authorization": "Bearer x"}) as response:
            assert await response.read() == b"data"
        with pytest.raises(EgressRefused):
            async with client.get(f"{url}bad", {}):
                pass
    assert seen[:2] == ["Bearer x", None]


async def test_get_gives_up_on_redirect_loops(serve: Serve) -> None:
    async def redirect(request: web.Request) -> web.Response:
        raise web.HTTPFound("/again")

    async with EgressClient(LOCAL) as client:
        with pytest.raises(EgressFailed, match="too often"):
            async with client.get(await serve(redirect), {}):
                pass


async def test_a_long_answer_is_cut_off(serve: Serve) -> None:
    sent = 0

    async def flood(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse()
        await response.prepare(request)
        with pytest.raises(ConnectionError):  # noqa: PT012 - it takes a few writes until the cut is felt
            while sent < 2**28:
                await response.write(bytes(2**16))
                sent += 2**16
        return response

    policy = msgspec.structs.replace(LOCAL, response_cap_bytes=1000)
    async with EgressClient(policy) as client:
        assert (await client.post(await serve(flood), b"", {})).status == 200
    assert sent < 2**26


async def test_a_silent_receiver_times_out(serve: Serve) -> None:
    release = asyncio.Event()

    async def hang(request: web.Request) -> web.Response:
        await release.wait()
        return web.Response()

    policy = msgspec.structs.replace(LOCAL, total_timeout_s=0.05)
    async with EgressClient(policy) as client:
        with pytest.raises(EgressFailed, match="in time"):
            await client.post(await serve(hang), b"", {})
    release.set()


async def test_environment_proxies_are_ignored(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def receive(request: web.Request) -> web.Response:
        return web.Response()

    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with EgressClient(LOCAL) as client:
        assert (await client.post(await serve(receive), b"", {})).status == 200


async def test_the_operators_proxy_is_used(serve: Serve) -> None:
    asked: list[str] = []

    async def proxy(request: web.Request) -> web.Response:
        asked.append(request.raw_path)
        return web.Response(status=202)

    policy = EgressPolicy(allow_http=True, proxy_url=await serve(proxy))
    async with EgressClient(policy) as client:
        assert (await client.post("http://hooks.example/a", b"", {})).status == 202
        with pytest.raises(EgressRefused):
            await client.post("http://127.0.0.1/a", b"", {})
    assert asked == ["http://hooks.example/a"]


async def test_header_injection_is_refused(serve: Serve) -> None:
    async def receive(request: web.Request) -> web.Response:
        return web.Response()

    async with EgressClient(LOCAL) as client:
        with pytest.raises(EgressRefused) as caught:
            await client.post(await serve(receive), b"", {"authorization": "a\r\nx: canary"})
    assert "canary" not in str(caught.value)


async def test_websocket_pushes_until_it_is_closed(serve: Serve) -> None:
    got: list[str] = []

    async def receive(request: web.Request) -> web.WebSocketResponse:
        ws = web.WebSocketResponse()
        await ws.prepare(request)
        for _ in range(2):
            message = await ws.receive()
            assert message.type is WSMsgType.TEXT
            got.append(message.data)
        await ws.close()
        return ws

    url = (await serve(receive)).replace("http", "ws")
    async with EgressClient(LOCAL) as client, client.websocket(url, {}) as push:
        await push.send(b'{"a":1}')
        await push.send("ü".encode())
        with pytest.raises(EgressFailed):  # noqa: PT012 - the close takes a moment to arrive
            async with asyncio.timeout(5):
                while True:
                    await push.send(b"late")
                    await asyncio.sleep(0)
    assert got == ['{"a":1}', "ü"]


async def test_websocket_is_guarded(serve: Serve) -> None:
    async def redirect(request: web.Request) -> web.Response:
        raise web.HTTPFound("/elsewhere")

    url = (await serve(redirect)).replace("http", "ws")
    async with EgressClient(STRICT) as client:
        with pytest.raises(EgressRefused):
            async with client.websocket(url, {}):
                pass
    async with EgressClient(LOCAL) as client:
        with pytest.raises(EgressRefused, match="redirect"):
            async with client.websocket(url, {}):
                pass
