"""The proxy through which helpers of trackers reach out: what it lets through, to whom, and what it refuses."""

import base64
import http.client
import socket
import threading
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest

from support.wandb_server import WandbServer, wandb_server
from tunegate.contract.training import StoragePolicy
from tunegate.trainer.trackers.relay import Relay

LOOPBACK = StoragePolicy(allow_http=True, allowed_networks=["127.0.0.1/32"])


@contextmanager
def relay(policy: StoragePolicy = LOOPBACK) -> Generator[Relay]:
    one = Relay(policy)
    try:
        yield one
    finally:
        one.close()


@pytest.fixture
def origin() -> Generator[WandbServer]:
    with wandb_server("") as server:
        yield server


def client(one: Relay, *, password: str | None = None) -> tuple[http.client.HTTPConnection, dict[str, str]]:  # fmt: skip
    """A connection to the relay, and the header that opens it."""
    parts = urlsplit(one.url)
    known = f"{parts.username}:{password or parts.password}"
    header = {"Proxy-Authorization": "Basic " + base64.b64encode(known.encode()).decode()}
    return http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=10), header


def place_of(server: WandbServer) -> tuple[str, int]:
    parts = urlsplit(server.url)
    return parts.hostname or "", parts.port or 0


@pytest.mark.parametrize("size", [0, 3, 3_000_000])
def test_a_plain_request_goes_on_as_it_came(origin: WandbServer, size: int) -> None:
    with relay() as one:
        line, header = client(one)
        body = b"x" * size
        line.request("PUT", f"{origin.url}/run/file_stream", body, header | {"X-Own": "1"})
        answer = line.getresponse()
        assert (answer.status, answer.read()) == (200, b'{"exitcode": null, "limits": {}}')
        line.close()
    assert origin.streamed == [body.decode()]
    assert "x-own" in origin.headers
    assert not [name for name in origin.headers if name.startswith("proxy-")]


def test_one_client_asks_many_times(origin: WandbServer) -> None:
    with relay() as one:
        line, header = client(one)
        for number in range(3):
            line.request("GET", f"{origin.url}/{number}", headers=header)
            assert line.getresponse().read() == b"{}"
        line.close()
    assert [path.rpartition("/")[2] for path in origin.asked] == ["0", "1", "2"]


def test_a_tunnel_carries_both_ways(origin: WandbServer) -> None:
    host, port = place_of(origin)
    with relay() as one:
        line, header = client(one)
        line.set_tunnel(host, port, header)
        line.request("GET", "/through")
        assert line.getresponse().read() == b"{}"
        line.close()
    assert origin.asked == ["GET /through"]


@pytest.mark.parametrize("way", ["plain", "tunnel"])
@pytest.mark.parametrize(
    ("policy", "password", "status"),
    [
        (StoragePolicy(allow_http=True), None, 403),
        (LOOPBACK, "wrong", 407),
    ],
)
def test_what_it_refuses(
    origin: WandbServer, way: str, policy: StoragePolicy, password: str | None, status: int
) -> None:
    with relay(policy) as one:
        line, header = client(one, password=password)
        if way == "plain":
            line.request("GET", f"{origin.url}/", headers=header)
            assert line.getresponse().status == status
        else:
            line.set_tunnel(*place_of(origin), header)
            with pytest.raises(OSError, match=f"Tunnel connection failed: {status}"):
                line.request("GET", "/")
        line.close()
    assert origin.asked == []


def test_a_name_counts_for_what_it_leads_to_when_it_is_dialled(
    origin: WandbServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that was harmless when it was checked."""
    _, port = place_of(origin)
    real = socket.getaddrinfo

    def rebound(host: str, *rest: Any, **more: Any) -> Any:
        return real("127.0.0.1" if host == "tracker.example" else host, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", rebound)
    with relay(StoragePolicy(allow_http=True)) as one:
        line, header = client(one)
        line.request("GET", f"http://tracker.example:{port}/", headers=header)
        assert line.getresponse().status == 403
        line.close()
    assert origin.asked == []


@pytest.mark.parametrize("target", ["http://[::1/", "http://127.0.0.1:x/", "127.0.0.1:1", "/"])
def test_targets_that_lead_nowhere(target: str) -> None:
    with relay() as one:
        line, header = client(one)
        line.putrequest("GET", target, skip_host=True)
        line.putheader(*next(iter(header.items())))
        line.endheaders()
        assert line.getresponse().status == 502
        line.close()


def test_an_open_tunnel_does_not_hold_up_the_end(origin: WandbServer) -> None:
    one = Relay(LOOPBACK)
    line, header = client(one)
    line.set_tunnel(*place_of(origin), header)
    line.connect()
    closing = threading.Thread(target=one.close, daemon=True)
    closing.start()
    closing.join(10)
    assert not closing.is_alive()
    line.close()
