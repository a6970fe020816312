"""`tunegate serve`: the gateway on one address, in one process."""

import gc
import os
import resource
import signal
import socket
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import click
import uvicorn
from msgspec import structs

from tunegate.control.sealer import KeyFileUnsafe
from tunegate.control.signing import SigningSecretInvalid
from tunegate.gateway import Gateway
from tunegate.http.protocol import HttpProtocol, Limits
from tunegate.settings import Settings, SettingsError, load
from tunegate.telemetry import configure
from tunegate.terminal.exits import ExitCode
from tunegate.terminal.failures import Failure
from tunegate.terminal.options import config_option

_BACKLOG = 2048
_FILES_WANTED = 65_536
_OTHER_FILES = 256
"""Files that are no connections of clients: the store, engines, webhooks."""
_GC_THRESHOLDS = (50_000, 20, 50)
"""Collections are rarer than Python's own choice: they make the slowest requests slow."""
_UNUSABLE = (OSError, ValueError, KeyFileUnsafe, SigningSecretInvalid)


@click.command()
@config_option
@click.option("--host", help="Address to listen on, instead of server.host.")
@click.option("--port", type=int, help="Port to listen on, instead of server.port.")
def command(config: Path | None, host: str | None, port: int | None) -> int:
    """Run the gateway until it is asked to stop. All else is in the file and the environment."""
    given = {name: value for name, value in (("host", host), ("port", port)) if value is not None}
    try:
        settings, tokens = load(config, os.environ, given)
        configure(level=settings.log_level)
        listener = _listen(settings)
        settings = _with_port(settings, listener.getsockname()[1])
        gateway = Gateway(settings, tokens)
    except SettingsError as error:
        raise Failure(error.problems, ExitCode.USAGE) from None
    except _UNUSABLE as error:
        raise Failure(str(error), ExitCode.USAGE) from None
    for number in (signal.SIGINT, signal.SIGTERM):
        # Uvicorn repeats the signal to whoever handled it before, once all is closed: then it has done its work.
        signal.signal(number, _done)
    server = _Server(gateway)
    server.run(sockets=[listener])
    return ExitCode.OK if server.started else ExitCode.FAILED


def _raise_file_limit() -> int:
    """As many files as this process may ask for: each connection is one, and the usual 1,024 are soon gone."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES_WANTED if hard == resource.RLIM_INFINITY else min(hard, _FILES_WANTED)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return _FILES_WANTED if soft == resource.RLIM_INFINITY else soft
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return wanted


class _Server(uvicorn.Server):
    """Uvicorn that ends streams before it waits for requests, and keeps start-up objects out of the collector's way."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        server = gateway.settings.server
        super().__init__(
            uvicorn.Config(
                gateway.app,
                loop="uvloop",
                http=HttpProtocol.limited(Limits.of(server, _raise_file_limit() - _OTHER_FILES)),
                ws="none",
                lifespan="on",
                log_config=None,
                access_log=False,
                server_header=False,
                date_header=False,
                proxy_headers=False,
                backlog=_BACKLOG,
                timeout_keep_alive=server.idle_timeout_s,
                timeout_graceful_shutdown=server.shutdown_grace_s,
            )
        )

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        gc.collect()
        gc.freeze()
        gc.set_threshold(*_GC_THRESHOLDS)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._gateway.streams.close()
        await super().shutdown(sockets)


def _done(_number: int, _frame: object) -> None:
    """Nothing is left to do for this signal."""


def _listen(settings: Settings) -> socket.socket:
    host, port = settings.server.host, settings.server.port
    family = socket.AF_INET6 if _is_v6(host) else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=_BACKLOG)


def _is_v6(host: str) -> bool:
    try:
        return ip_address(host).version == 6
    except ValueError:
        return False


def _with_port(settings: Settings, port: Any) -> Settings:
    return structs.replace(settings, server=structs.replace(settings.server, port=port))
