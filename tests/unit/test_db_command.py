"""`tunegate db`, on both kinds of store."""

from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from tunegate.cli import main
from tunegate.control.store.sqlite.safety import FileLock
from tunegate.sdk.testing.postgres_server import PostgresServer

Run = Callable[..., tuple[int, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def ran(*arguments: str) -> tuple[int, str]:
        code = main(["db", *arguments])
        captured = capsys.readouterr()
        return code, captured.out + captured.err

    return ran


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("TUNEGATE_STATE_DIR", str(tmp_path / "state"))
    if request.param == "postgres":
        server: PostgresServer = request.getfixturevalue("postgres_server")
        monkeypatch.setenv("TUNEGATE_DATABASE_URL", server.create_database())
    return request.param


def test_from_nothing_to_the_newest_schema(run: Run, place: str) -> None:
    code, text = run("status")
    assert code == 0
    assert "schema    0" in text
    assert "0001_initial.sql" in text
    code, text = run("migrate", "--dry-run", "--to", "1")
    assert (code, "CREATE TABLE job (" in text, "0002" in text) == (0, True, False)
    assert "schema    0" in run("status")[1]
    assert run("migrate", "--to", "2")[1].splitlines() == [
        "applied 0001_initial.sql",
        "applied 0002_delivery_history.sql",
    ]
    code, text = run("check")
    assert code == 1
    assert "tunegate db migrate" in text
    assert run("migrate")[0] == 0
    assert run("migrate") == (0, "nothing to do\n")
    code, text = run("check")
    assert code == 0, text
    assert "missing   nothing" in run("status")[1]


def test_without_the_token_that_only_serving_needs(
    run: Run, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the chart's job does in the gateway's image, which listens everywhere."""
    monkeypatch.setenv("TUNEGATE_SERVER__HOST", "0.0.0.0")
    assert run("migrate")[0] == 0
    assert run("check")[0] == 0


def test_a_sqlite_file_in_use_is_not_migrated(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUNEGATE_STATE_DIR", str(tmp_path))
    lock = FileLock(tmp_path / "tunegate.db.lock")
    lock.acquire()
    code, text = run("migrate")
    lock.release()
    assert code == 1
    assert "Another gateway" in text


def test_trouble_is_told_without_the_password(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNEGATE_DATABASE_URL", "postgresql://u:canary@127.0.0.1:1/x")
    code, text = run("status")
    assert code == 1
    assert "refused" in text
    assert "canary" not in text
    monkeypatch.setenv("TUNEGATE_DATABASE_URL", "mysql://u:canary@127.0.0.1:1/x")
    code, text = run("status")
    assert code == 2
    assert "postgresql://" in text
    assert "canary" not in text


def test_a_server_without_fsync_is_unsafe(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    with PostgresServer("fsync=off") as careless:
        monkeypatch.setenv("TUNEGATE_DATABASE_URL", careless.create_database())
        code, text = run("check")
        assert code == 1
        assert "fsync = off" in text
        assert run("migrate")[0] == 1
        with psycopg.connect(careless.url()) as connection:
            assert connection.execute("SHOW fsync").fetchone() == ("off",)
