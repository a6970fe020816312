"""`PostgresServer`: a real PostgreSQL on loopback, that can be crashed and started again."""

import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any, Self, cast

_START_LIMIT_S = 60.0
_USER = "postgres"


def find_postgres() -> Path | None:
    """The folder of the server's programs: that of `postgres` on PATH, or of the newest below /usr/lib/postgresql."""
    found = shutil.which("postgres")
    if found:
        return Path(found).resolve().parent
    installed = Path("/usr/lib/postgresql").glob("*/bin/postgres")
    versions = sorted(installed, key=lambda path: float(path.parts[-3]), reverse=True)
    return versions[0].parent if versions else None


class PostgresServer:
    """Runs as long as the `with` block, in a folder of its own that goes with it.

    It syncs to disk, as a store of jobs must. PostgreSQL refuses to run as root, so root runs it as the user postgres.
    Raises RuntimeError when PostgreSQL is not installed or does not start.
    """

    def __init__(self, *options: str) -> None:
        """`options` are settings of the server: `max_connections=50`."""
        self._options = options
        self._port = 0
        self._folder = Path()
        self._process: subprocess.Popen[bytes] | None = None
        programs = find_postgres()
        if programs is None:
            raise RuntimeError("PostgreSQL is not installed: apt-get install postgresql")
        self._programs = programs

    @property
    def port(self) -> int:
        return self._port

    def url(self, database: str = "postgres", port: int | None = None) -> str:
        """Where clients reach a database; with the port of a proxy, through that."""
        return f"postgresql://{_USER}@127.0.0.1:{port or self._port}/{database}"

    def __enter__(self) -> Self:
        self._folder = Path(tempfile.mkdtemp(prefix="tunegate-postgres-"))
        if os.getuid() == 0:
            shutil.chown(self._folder, _USER, _USER)
        try:
            init = ["-U", _USER, "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]
            self._run("initdb", "-D", str(self._data), *init)
            self._port = _free_port()
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        self.crash()  # its files go too: a clean end would be waited for in vain
        shutil.rmtree(self._folder, ignore_errors=True)

    def start(self) -> None:
        """Start it and wait until it takes connections."""
        settings = [
            f"port={self._port}",
            "listen_addresses=127.0.0.1",
            f"unix_socket_directories={self._folder}",
            "max_connections=200",
            *self._options,
        ]
        command = [str(self._programs / "postgres"), "-D", str(self._data)]
        for setting in settings:
            command += ["-c", setting]
        with (self._folder / "server.log").open("ab") as log:
            process = cast(
                "subprocess.Popen[bytes]",
                subprocess.Popen(  # noqa: S603 - our own argument list, no shell
                    command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **_as_user()
                ),
            )
        self._process = process
        deadline = time.monotonic() + _START_LIMIT_S
        while process.poll() is None and time.monotonic() < deadline:
            if self.is_ready():
                return
            time.sleep(0.02)
        tail = (self._folder / "server.log").read_text(errors="replace")[-2000:]
        raise RuntimeError(f"PostgreSQL did not start:\n{tail}")

    def is_ready(self) -> bool:
        """Whether it takes connections."""
        check = [str(self._programs / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self._port)]
        return subprocess.run(check, check=False).returncode == 0  # noqa: S603

    def crash(self) -> None:
        """End it at once, without a checkpoint or a word to its clients (`pg_ctl stop -m immediate`)."""
        self._end(signal.SIGQUIT)

    def stop(self) -> None:
        """End it now, cleanly."""
        self._end(signal.SIGINT)

    def create_database(self) -> str:
        """A new empty database; its URL."""
        name = f"t{secrets.token_hex(6)}"
        self._run("createdb", "-h", "127.0.0.1", "-p", str(self._port), "-U", _USER, name)
        return self.url(name)

    @property
    def _data(self) -> Path:
        return self._folder / "data"

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(how)
            process.wait()

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._programs / program), *arguments]
        done = subprocess.run(command, capture_output=True, check=False, **_as_user())  # noqa: S603
        if done.returncode:
            raise RuntimeError(f"{program} failed:\n{done.stderr.decode(errors='replace')}")


def _as_user() -> dict[str, Any]:
    if os.getuid() != 0:
        return {}
    user = pwd.getpwnam(_USER)
    return {
        "user": user.pw_uid,
        "group": user.pw_gid,
        "extra_groups": [],
        "cwd": "/",
        "env": {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "HOME": "/tmp"},  # noqa: S108
    }


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
