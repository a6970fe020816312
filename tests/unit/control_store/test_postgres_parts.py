"""The parts of the PostgreSQL store that need no server."""

import psycopg
import pytest

from tunegate.contract.secret import Secret
from tunegate.control.settings import StoreSettings
from tunegate.control.store.choose import make_store
from tunegate.control.store.postgres.clock import DatabaseClock
from tunegate.control.store.postgres.connections import conninfo
from tunegate.control.store.postgres.dialect import translate
from tunegate.control.store.postgres.trouble import has_rolled_back
from tunegate.sdk.clock import SystemClock


def test_translation() -> None:
    sql = "SELECT 1 % 2, :a::text[] FROM t WHERE x = :a AND y IN :names FOR UPDATE SKIP LOCKED"
    assert translate(sql) == (
        b"SELECT 1 %% 2, %(a)s::text[] FROM t WHERE x = %(a)s AND y = ANY(%(names)s) "
        b"FOR UPDATE SKIP LOCKED"
    )


def test_the_clock_takes_precise_answers_and_stale_ones_only_when_it_must(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now_s = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now_s)
    clock = DatabaseClock()
    clock.observe(1_000_000, 99.0, 100.0)  # imprecise, but the first
    assert clock.now_ms() == 1_000_500
    clock.observe(1_000_000, 99.99, 100.0)
    assert clock.now_ms() == 1_000_005
    clock.observe(9_000_000, 90.0, 100.0)  # a process that was frozen while it asked
    assert clock.now_ms() == 1_000_005
    now_s = 200.0
    clock.observe(2_000_000, 199.0, 200.0)
    assert clock.now_ms() == 2_000_500


@pytest.mark.parametrize(
    ("error", "certain"),
    [
        (psycopg.errors.DeadlockDetected(), True),
        (psycopg.errors.SerializationFailure(), True),
        (psycopg.errors.UniqueViolation(), True),
        (psycopg.errors.AdminShutdown(), False),
        (psycopg.errors.CrashShutdown(), False),
        (psycopg.errors.ConnectionFailure(), False),
        (psycopg.OperationalError("the connection is lost"), False),
        (ValueError(), False),
    ],
)
def test_only_the_server_s_own_word_makes_a_failed_commit_certain(
    error: Exception, certain: bool
) -> None:
    assert has_rolled_back(error) is certain


def test_a_bad_url_is_refused_without_being_shown(tmp_path_factory: pytest.TempPathFactory) -> None:
    settings = StoreSettings(url=Secret("postgresql://u:canary@host:port/x?nonsense=1"))
    with pytest.raises(ValueError, match=r"store\.url") as caught:
        make_store(settings, tmp_path_factory.mktemp("state") / "jobs.db", SystemClock())
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:p@canary@host/name",
        "postgresql://u:canary@host:canary/name",
        "postgresql://u:12/canary@host/name",
        "postgresql://u:canary/more@host/name",
    ],
)
def test_a_password_in_the_wrong_place_is_not_repeated(url: str) -> None:
    with pytest.raises(ValueError, match=r"store\.url") as refused:
        conninfo(url)
    assert "canary" not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:p%40%3A%2F@host.example:5432/name",
        "postgresql://u@a,b:5432,5433/name?target_session_attrs=read-write",
        "postgresql://u@[::1]:5432/name",
        "postgresql:///name?host=/var/run/postgresql",
        "postgresql://",
    ],
)
def test_usual_urls(url: str) -> None:
    assert "application_name=tunegate" in conninfo(url)
