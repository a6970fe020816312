"""The part of a W&B server that a run talks to: GraphQL, the stream of its files, and where it is told to upload them."""

import json
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast


@dataclass
class WandbServer:
    """`uploads` is what it names as the place for a run's files."""

    url: str
    uploads: str
    streamed: list[str] = field(default_factory=list[str])
    """The bodies that were posted to the stream of files."""
    asked: list[str] = field(default_factory=list[str])
    """Every request: its method and path."""
    headers: list[str] = field(default_factory=list[str])

    def graphql(self, asked: dict[str, Any]) -> dict[str, Any]:
        query, variables = str(asked["query"]), asked["variables"]
        if "UpsertBucket" in query:
            entity = {"name": "team"}
            project = {"name": variables["project"], "entity": entity}
            bucket = {
                "id": "1",
                "name": variables["name"],
                "displayName": "run",
                "project": project,
            }
            return {"upsertBucket": {"bucket": bucket, "inserted": True}}
        if "CreateRunFiles" in query:
            files = [
                {"name": name, "uploadUrl": self.uploads + name} for name in variables["files"]
            ]
            return {"createRunFiles": {"runID": "1", "uploadHeaders": [], "files": files}}
        return {}


@contextmanager
def wandb_server(uploads: str) -> Generator[WandbServer]:
    server = _Server(("127.0.0.1", 0), _Handler)
    server.knows = WandbServer(f"http://127.0.0.1:{server.server_port}", uploads)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.knows
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    knows: WandbServer


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        knows = cast("_Server", self.server).knows
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        knows.asked.append(f"{self.command} {self.path}")
        knows.headers += [name.lower() for name in self.headers]
        if self.path.endswith("/file_stream"):
            knows.streamed.append(body.decode())
            self._answer({"exitcode": None, "limits": {}})
        elif self.path.endswith("/graphql"):
            self._answer({"data": knows.graphql(json.loads(body))})
        else:
            self._answer({})

    do_GET = do_PUT = do_POST  # noqa: N815  the server's own naming

    def _answer(self, said: object) -> None:
        body = json.dumps(said).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        pass
