"""The least that a durable `POST /train` can cost on the gateway's own server: strict decode, one row, group commit.

No token, no checks, no secrets, no event, no webhook, a short answer: `python -m tests.bench.submit.floor PORT FOLDER`.
"""

import asyncio
import gc
import queue
import sys
import threading
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import apsw
import msgspec
import uvicorn
from litestar import Litestar, Request, Response, post

from tunegate.contract.request import TrainRequest
from tunegate.contract.secret import decode_hook

decoder = msgspec.json.Decoder(TrainRequest, dec_hook=decode_hook)
Row = tuple[str, bytes, "asyncio.Future[None]"]


class Rows:
    """One thread; all that waits is one transaction, synced before anybody is answered."""

    def __init__(self, file: Path) -> None:
        self._db = apsw.Connection(str(file))
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.execute("CREATE TABLE job (job_id TEXT PRIMARY KEY, body BLOB NOT NULL)")
        self._queue: queue.SimpleQueue[Row | None] = queue.SimpleQueue()
        self.loop = asyncio.get_running_loop()
        threading.Thread(target=self._serve, daemon=True).start()

    async def insert(self, job_id: str, body: bytes) -> None:
        done: asyncio.Future[None] = self.loop.create_future()
        self._queue.put((job_id, body, done))
        await done

    def _serve(self) -> None:
        while row := self._queue.get():
            batch = [row]
            while len(batch) < 256 and not self._queue.empty():
                if (more := self._queue.get()) is not None:
                    batch.append(more)
            with self._db:
                self._db.executemany("INSERT INTO job VALUES (?, ?)", [row[:2] for row in batch])
            self.loop.call_soon_threadsafe(self._answer, batch)

    def _answer(self, batch: list[Row]) -> None:
        for _, _, done in batch:
            done.set_result(None)


@asynccontextmanager
async def open_rows(app: Litestar) -> AsyncGenerator[None]:
    app.state.rows = Rows(Path(sys.argv[2]) / "floor.db")
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    yield


@post("/train")
async def train(request: Request[Any, Any, Any]) -> Response[bytes]:
    body = await request.body()
    job = decoder.decode(body)
    await request.app.state.rows.insert(job.job_id, body)
    answer = msgspec.json.encode({"job_id": job.job_id, "status": "queued"})
    return Response(answer, status_code=201, media_type="application/json")


if __name__ == "__main__":
    app = Litestar([train], lifespan=[open_rows], openapi_config=None, logging_config=None)
    uvicorn.run(app, port=int(sys.argv[1]), loop="uvloop", http="httptools", log_level="warning", access_log=False)  # fmt: skip
