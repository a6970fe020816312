"""The program against a small gateway that only writes down what it hears."""

import hashlib
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tunegate.contract.attempt import ClaimRequest, EventBatch, Manifest, SucceededEvent
from tunegate.contract.training import AttemptTicket
from tunegate.sdk.testing.samples import minimal_body, sample_context, train_request
from tunegate_echo.backend import EchoBackend, EchoOptions


class Hearing(ThreadingHTTPServer):
    """What was said, and what to answer."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.said: list[Any] = []
        self.claim_status = 200
        self.stop: str | None = None
        self.busy = 0
        self.cut_off = 0


class Handler(BaseHTTPRequestHandler):
    server: Hearing

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        assert self.headers["authorization"] == "Bearer claim"
        if self.server.busy:
            self.server.busy -= 1
            self._answer(503, {})
        elif self.path == "/internal/attempts/a-1/claim":
            msgspec.json.decode(body, type=ClaimRequest)
            self._answer(self.server.claim_status, {"fence": 7, "attempt": 2})
        else:
            batch = msgspec.json.decode(body, type=EventBatch)
            self.server.said.extend(batch.events)
            self._answer(200, {"accepted_through": 1, "stop": self.server.stop})

    def _answer(self, status: int, body: dict[str, Any]) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        if self.server.cut_off:  # it dies in the middle of its answer
            self.server.cut_off -= 1
            self.close_connection = True
        else:
            self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        return


@pytest.fixture
def gateway() -> Iterator[Hearing]:
    with Hearing() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def echo(folder: Path, gateway: Hearing | None, **options: Any) -> int:
    body = minimal_body()
    body["artifacts"]["output_uri"] = f"file://{folder}/out"
    job = train_request(body)
    spec = EchoBackend().build(job, EchoOptions(**options), sample_context(job))
    (folder / "job.json").write_text(spec.files[0].content)
    if gateway is not None:
        ticket = AttemptTicket(
            job_id="sample-1", attempt=2, attempt_id="a-1", run_name="r", token_file="token",
            gateway_url=f"http://127.0.0.1:{gateway.server_port}",
        )  # fmt: skip
        (folder / "attempt.json").write_bytes(msgspec.json.encode(ticket))
        (folder / "token").write_text("claim")
    argv = [sys.executable, *spec.command[1:-1], str(folder / "job.json")]
    return subprocess.run(argv, check=False, timeout=60, capture_output=True).returncode


def kinds(gateway: Hearing) -> list[str]:
    return [msgspec.to_builtins(entry.event)["kind"] for entry in gateway.said]


def test_a_good_end(tmp_path: Path, gateway: Hearing) -> None:
    gateway.busy = 1
    assert echo(tmp_path, gateway, steps=2) == 0
    assert kinds(gateway) == [
        "phase", "phase", "progress", "metrics", "progress", "metrics", "phase", "succeeded",
    ]  # fmt: skip
    assert [entry.sequence for entry in gateway.said] == list(range(1, 9))
    last = gateway.said[-1].event
    assert isinstance(last, SucceededEvent)
    content = (tmp_path / "out/sample-1/manifest.json").read_bytes()
    assert hashlib.sha256(content).hexdigest() == last.manifest_sha256
    manifest = msgspec.json.decode(content, type=Manifest)
    assert (manifest.fence, manifest.attempt) == (7, 2)
    result = (tmp_path / "out/sample-1" / manifest.files[0].path).read_bytes()
    assert hashlib.sha256(result).hexdigest() == manifest.files[0].sha256


def test_an_answer_that_breaks_off_is_asked_for_again(tmp_path: Path, gateway: Hearing) -> None:
    gateway.cut_off = 3
    assert echo(tmp_path, gateway, steps=0) == 0
    assert kinds(gateway)[-1] == "succeeded"


def test_a_failure_with_and_without_a_word(tmp_path: Path, gateway: Hearing) -> None:
    assert echo(tmp_path, gateway, steps=0, fail_code="data_invalid", exit_code=67) == 67
    assert kinds(gateway)[-1] == "failed"
    assert echo(tmp_path, gateway, steps=0, exit_code=3) == 3
    assert kinds(gateway)[-1] == "phase"


def test_the_gateway_may_stop_it(tmp_path: Path, gateway: Hearing) -> None:
    gateway.stop = "cancel"
    assert echo(tmp_path, gateway, steps=100) == 77
    assert kinds(gateway)[-1] == "stopped"


def test_a_lost_claim(tmp_path: Path, gateway: Hearing) -> None:
    gateway.claim_status = 409
    assert echo(tmp_path, gateway) == 78
    assert gateway.said == []


def test_without_a_gateway(tmp_path: Path) -> None:
    assert echo(tmp_path, None) == 0
    assert (tmp_path / "out/sample-1/manifest.json").exists()
