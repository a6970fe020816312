"""A PostgreSQL store seen from outside a gateway."""

import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager

import psycopg
from psycopg.conninfo import conninfo_to_dict

from tunegate.contract.secret import Secret
from tunegate.control.settings import StoreSettings
from tunegate.control.store.errors import StoreUnsafe, unavailable
from tunegate.control.store.postgres.connections import conninfo
from tunegate.control.store.postgres.schema import PostgresSchema, check_server, known
from tunegate.control.store.postgres.trouble import TROUBLE
from tunegate.control.store.schema import Migration, check_current, state_of

_LARGE_SKEW_MS = 60_000
_HEAR_S = 2.0


class PostgresAdministration:
    """See `Administration`. Gateways may go on while the schema grows."""

    def __init__(self, url: Secret, settings: StoreSettings) -> None:
        """Raises ValueError when the URL can't be read."""
        self._conninfo = conninfo(url.reveal())
        self._settings = settings
        named = conninfo_to_dict(self._conninfo)
        where = named.get("host") or named.get("hostaddr") or "the local socket"
        self.place = f"PostgreSQL, database {named.get('dbname', '(default)')} at {where}"

    def known(self) -> list[Migration]:
        return known()

    @contextmanager
    def schema(self, *, to_write: bool) -> Generator[PostgresSchema]:
        with self._connected() as connection:
            if to_write:
                check_server(connection)
            yield PostgresSchema(connection)

    def checks(self) -> Iterator[tuple[str, str | None]]:
        with self._connected() as connection:
            try:
                check_server(connection)
                yield "the server's settings", None
            except StoreUnsafe as unsafe:
                yield "the server's settings", str(unsafe)
            [(reads_only, now_ms)] = connection.execute(
                "SELECT pg_is_in_recovery(), (extract(epoch FROM clock_timestamp()) * 1000)::bigint"
            ).fetchall()
            skew_ms = abs(now_ms - time.time_ns() // 1_000_000)
            yield "it takes writes", "it is a standby" if reads_only else None
            yield "the clocks", f"{skew_ms} ms apart" if skew_ms > _LARGE_SKEW_MS else None
            try:
                check_current(state_of(PostgresSchema(connection)), known())
                yield "the schema", None
            except StoreUnsafe as unsafe:
                yield "the schema", str(unsafe)
            if self._settings.notify:
                heard = _hears(connection)
                yield "LISTEN and NOTIFY", None if heard else "nothing arrives; is there a pooler?"

    @contextmanager
    def _connected(self) -> Generator[psycopg.Connection]:
        try:
            with psycopg.connect(self._conninfo, autocommit=True) as connection:
                yield connection
        except TROUBLE as error:
            raise unavailable() from error


def _hears(connection: psycopg.Connection) -> bool:
    connection.execute("LISTEN tunegate_check")
    connection.execute("NOTIFY tunegate_check")
    return any(True for _ in connection.notifies(timeout=_HEAR_S, stop_after=1))
