"""The pool, and what each connection is like: no state of a session is needed, so a pooler may stand between."""

import asyncio
import os
import re
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import Any

from psycopg import AsyncConnection, ProgrammingError
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg_pool import AsyncConnectionPool

from tunegate.control.settings import StoreSettings
from tunegate.control.store.postgres.dialect import Connection

WAIT_S = 2.0
"""How long a request waits for a connection before it is told that the store is unavailable."""
_HOST = re.compile(r"[A-Za-z0-9._,:/%-]*")
_PORT = re.compile(r"[0-9,]*")
_NAME = re.compile(r"[^@:/]*")
_DEFAULTS = {
    "application_name": "tunegate",
    "connect_timeout": "3",
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "3",
    "tcp_user_timeout": "10000",
}


def conninfo(url: str) -> str:
    """Options of libpq for a URL, with ours where it says nothing. Raises ValueError for one that can't be read."""
    try:
        found = conninfo_to_dict(url)
    except ProgrammingError:  # its message may quote the URL
        raise ValueError("store.url can't be read as the URL of a PostgreSQL database") from None
    named = [str(found.get(name, "")) for name in ("host", "port", "dbname")]
    if not all(map(re.fullmatch, (_HOST, _PORT, _NAME), named)):
        # A password with an @, a colon or a slash in it ends up there, and errors name them.
        raise ValueError(
            "store.url: write special characters of user and password as %40 and so on"
        )
    return make_conninfo("", **{**_DEFAULTS, **found})


def open_pool(url: str, settings: StoreSettings) -> AsyncConnectionPool[Connection]:
    """Not opened yet."""
    return AsyncConnectionPool(
        conninfo(url),
        connection_class=AsyncConnection,
        kwargs=connection_options(settings),
        min_size=1,
        max_size=settings.pool_size,
        open=False,
        timeout=WAIT_S,
        reconnect_timeout=0.5,  # the next request tries again: a long back-off would outlast the trouble
        name="job store",
    )


def connection_options(settings: StoreSettings) -> dict[str, Any]:
    return {"autocommit": True, "prepare_threshold": 5 if settings.prepared_statements else None}


@asynccontextmanager
async def cut_after(connection: Connection, limit_s: float) -> AsyncGenerator[None]:
    """Whoever is still waiting for the server then finds the connection lost: a frozen server answers no cancel."""
    timer = asyncio.get_running_loop().call_later(limit_s, _cut, connection)
    try:
        yield
    finally:
        timer.cancel()


def _cut(connection: Connection) -> None:
    with suppress(Exception), socket.socket(fileno=os.dup(connection.fileno())) as line:
        line.shutdown(socket.SHUT_RDWR)
