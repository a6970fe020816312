"""The trainer's guard: in a process of its own, every library that dials meets it."""

import select
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tunegate.contract.training import StoragePolicy
from tunegate.trainer.dialling import Dialling, peer_of

DENIED = (
    "127.0.0.1", "10.0.0.1", "169.254.169.254", "100.64.0.1", "168.63.129.16", "0.0.0.0", "224.0.0.1", "255.255.255.255",
    "::1", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::", "fec0::1", "fe80::1%1",
    "2001:0:7f00:1::", "2600:1f00::5efe:a00:1", "2600:1f00::200:5efe:7f00:1", "::127.0.0.1", "::ffff:0:10.0.0.1",
)  # fmt: skip


@pytest.mark.parametrize("address", DENIED)
def test_denied_addresses_are_refused(address: str) -> None:
    with pytest.raises(PermissionError):
        Dialling(StoragePolicy()).check((address, 443))


def test_names_are_refused() -> None:
    with pytest.raises(PermissionError, match="name"):
        Dialling(StoragePolicy(allow_private_addresses=True)).check(("localhost", 443))


def test_what_the_operator_named_passes() -> None:
    rules = Dialling(StoragePolicy(allowed_networks=["10.1.0.0/16"]), [("127.0.0.1", 8080)])
    rules.check(("127.0.0.1", 8080))
    rules.check(("10.1.2.3", 9000))
    rules.check(("8.8.8.8", 443))
    for place in (("127.0.0.1", 8081), ("127.0.0.2", 8080), ("10.2.0.1", 9000)):
        with pytest.raises(PermissionError):
            rules.check(place)
    Dialling(StoragePolicy(), [("localhost", None)]).check(("127.0.0.1", 1))


def test_with_a_proxy_nothing_else_is_dialled() -> None:
    rules = Dialling(StoragePolicy(proxy_url="http://127.0.0.1:3128"))
    rules.check(("127.0.0.1", 3128))
    for place in (("127.0.0.1", 80), ("8.8.8.8", 443)):
        with pytest.raises(PermissionError):
            rules.check(place)


def test_peers_are_read_off_addresses() -> None:
    assert peer_of("http://127.0.0.1:8080/x") == ("127.0.0.1", 8080)
    assert peer_of("https://gateway.example") == ("gateway.example", 443)
    assert peer_of("http://[::1]:9/") == ("::1", 9)


LIBRARIES = {
    "socket": "socket.create_connection(('127.0.0.1', port), 1)",
    "names": "s = socket.socket(); s.connect(('localhost', port))",
    "udp": "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', port))",
    "raw": "import _socket; _socket.socket().connect(('127.0.0.1', port))",
    "urllib": "import urllib.request; urllib.request.urlopen(url, timeout=1)",
    "requests": "import requests; requests.get(url, timeout=1)",
    "hub": "from huggingface_hub import HfApi; HfApi(endpoint=url).model_info('a/b', timeout=1)",
    "aiohttp": "import aiohttp, asyncio\n"
    "async def go():\n  async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(1)) as s: await s.get(url)\nasyncio.run(go())",
}


class Listener:
    """Holds what arrives on one port of loopback, TCP and UDP."""

    def __init__(self, tcp: socket.socket, udp: socket.socket) -> None:
        self._sockets = tcp, udp
        self.port = tcp.getsockname()[1]
        udp.bind(("127.0.0.1", self.port))

    def has_arrived(self) -> bool:
        return bool(select.select(self._sockets, [], [], 0)[0])


@pytest.fixture
def listener() -> Iterator[Listener]:
    with (
        socket.create_server(("127.0.0.1", 0)) as tcp,
        socket.socket(type=socket.SOCK_DGRAM) as udp,
    ):
        yield Listener(tcp, udp)


@pytest.mark.slow
@pytest.mark.parametrize("library", LIBRARIES)
def test_libraries_do_not_get_around_it(library: str, listener: Listener) -> None:
    program = (
        "import socket, sys, os\nos.environ['HF_HUB_DISABLE_TELEMETRY']='1'\n"
        "from tunegate.contract.training import StoragePolicy\nfrom tunegate.trainer.dialling import guard\n"
        f"port = {listener.port}; url = 'http://127.0.0.1:{listener.port}/'\n"
        "if sys.argv[1] == 'on': guard(StoragePolicy(), [])\n" + LIBRARIES[library]
    )
    for state in ("on", "off"):
        run = subprocess.run(
            [sys.executable, "-c", program, state], capture_output=True, text=True, check=False
        )
        if state == "on":
            assert run.returncode, run.stdout
            assert not listener.has_arrived()
        else:
            assert listener.has_arrived(), (
                f"without the guard nothing was seen either: {run.stderr}"
            )


@pytest.mark.parametrize(("given", "is_off"), [({}, True), ({"HF_HUB_DISABLE_XET": "0"}, False)])
def test_the_hub_s_downloader_that_python_does_not_see_is_off(
    given: dict[str, str], is_off: bool
) -> None:
    source = (
        "from tunegate.trainer.__main__ import quieten\n"
        "quieten()\n"
        "from huggingface_hub import constants\n"
        "print(constants.HF_HUB_DISABLE_XET)\n"
    )
    argv = [sys.executable, "-c", source]
    said = subprocess.run(argv, env=given, capture_output=True, text=True, check=True).stdout
    assert said.strip() == str(is_off)
