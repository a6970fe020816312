"""The gateway without its loops: all of the way of a request but nothing that would run what is accepted."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tunegate.gateway import Gateway
from tunegate.settings import load

TOKEN = "hostile-campaign-token"
HEADERS = {"authorization": f"Bearer {TOKEN}", "content-type": "application/json"}


@asynccontextmanager
async def front(folder: Path, database_url: str | None = None) -> AsyncIterator[Any]:
    """The application over a real store: SQLite in `folder`, or the PostgreSQL at `database_url`."""
    environment = {
        "TUNEGATE_STATE_DIR": str(folder),
        "TRAINER_API_TOKEN": TOKEN,
        "TUNEGATE_SERVER__ACCESS_LOG": "false",
        "TUNEGATE_LAUNCHERS__LOCAL__CPU_FALLBACK": "true",
    }
    if database_url is not None:
        environment["TUNEGATE_DATABASE_URL"] = database_url
    gateway = Gateway(*load(None, environment))
    store = gateway._store
    await store.open()
    try:
        yield gateway.app
    finally:
        await store.close()
