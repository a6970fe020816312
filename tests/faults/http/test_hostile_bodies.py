"""Hostile bodies: in this process for their number, through a real one for its memory, on both stores for one verdict."""

import asyncio
import io
import os
import time
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from faults.http.bodies import CANARY, corpus, every_field, spoiled
from faults.http.checker import Checker
from faults.http.gateway import HEADERS, front
from faults.http.process import process
from faults.report import rounds, write
from support.asgi import call
from tunegate.contract import guard
from tunegate.control.store.errors import unavailable
from tunegate.control.store.postgres import PostgresStore
from tunegate.http import problems
from tunegate.sdk.testing.postgres_server import PostgresServer

AT_ONCE = 32
GROWTH_LIMIT_BYTES = 64 * 2**20
OTHER_ROUTES = (
    "/train?dry_run=true", "/qlora/train", "/train/some-job/retry", "/internal/attempts/a-1/claim",
    "/internal/attempts/a-1/events",
)  # fmt: skip
SEED = 20_261_125


def bodies(count: int, seed: int = SEED) -> Iterator[bytes]:
    """The corpus, an even share of all fields with all values, and spoiled bodies for the rest."""
    fields = list(every_field())
    share = fields[:: max(1, 2 * len(fields) // count)]
    return islice(chain(corpus().values(), share, spoiled(seed)), count)


async def send(app: Any, checker: Checker, sent: Iterable[tuple[str, bytes]]) -> None:
    """All of them, `AT_ONCE` at a time."""
    source = iter(sent)

    async def carry() -> None:
        for path, body in source:
            answer = await call(app, "POST", path, HEADERS, body)
            name = f"{path} {body[:300]!r}"
            checker.see(name, answer.status, answer.headers, answer.body)

    await asyncio.gather(*(carry() for _ in range(AT_ONCE)))


def resident_bytes(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


async def planted_bugs_are_caught(folder: Path) -> bool:
    """The checker is shown a gateway that repeats values, and one without the limit on depth."""
    encode, found = problems.encode_problem, []

    def repeating(error: Any, request_id: str) -> Any:
        status, headers, body = encode(error, request_id)
        return status, headers, body[:-1] + f',"value":"{CANARY}"}}'.encode()

    def unlimited(body: bytes) -> None: ...

    for module, name, broken in (
        (problems, "encode_problem", repeating),
        (guard, "_check_depth", unlimited),
    ):
        checker = Checker()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module, name, broken)
            async with front(folder / name) as app:
                sent = [("/train", body) for body in corpus().values()]
                await send(app, checker, sent)
        found.append(bool(checker.violations))
    return all(found)


@pytest.mark.slow
async def test_hostile_bodies(tmp_path: Path) -> None:
    count = rounds(3_000, 180_000)
    checker, began_s = Checker(), time.monotonic()
    async with front(tmp_path) as app:
        for path in OTHER_ROUTES:
            await send(app, checker, ((path, body) for body in corpus().values()))
        await send(app, checker, (("/train", body) for body in bodies(count // 3)))
        before = resident_bytes(os.getpid())
        await send(
            app, checker, (("/train", body) for body in bodies(count - count // 3, SEED + 1))
        )
        growth = resident_bytes(os.getpid()) - before
    per_s = checker.tried / (time.monotonic() - began_s)
    through = await _through_a_process(tmp_path / "process", rounds(800, 20_000))
    violations = checker.violations + through.violations
    if growth > GROWTH_LIMIT_BYTES or through.growth > GROWTH_LIMIT_BYTES:
        violations.append(f"memory grew by {growth} and {through.growth} bytes")
    caught = await planted_bugs_are_caught(tmp_path / "broken")
    write(
        "hostile_bodies",
        checker.tried + through.tried,
        violations,
        planted_bug_caught=caught,
        verdicts={str(status): n for status, n in sorted(checker.verdicts.items())},
        through_a_process=through.tried,
        growth_bytes=growth,
        growth_of_the_process_bytes=through.growth,
        bodies_per_s=round(per_s),
    )
    assert not violations, violations[:5]
    assert caught
    assert checker.verdicts[201] > 0, "some are good, or nothing was tested behind the decoder"


class Through(Checker):
    growth = 0


async def _through_a_process(home: Path, count: int) -> Through:
    checker = Through()
    async with process(home) as (url, pid), aiohttp.ClientSession(url) as session:
        source = bodies(count, SEED + 2)

        async def carry(most: int) -> None:
            for body in islice(source, most):
                async with session.post("/train", data=io.BytesIO(body), headers=HEADERS) as answer:
                    headers = {k.lower(): v for k, v in answer.headers.items()}
                    text = await answer.read()
                checker.see(f"{body[:300]!r}", answer.status, headers, text)

        await asyncio.gather(*(carry(count // 48) for _ in range(16)))
        before = resident_bytes(pid)
        await asyncio.gather(*(carry(count) for _ in range(16)))
        checker.growth = resident_bytes(pid) - before
    return checker


@pytest.mark.slow
async def test_both_stores_give_the_same_verdict(
    tmp_path: Path, postgres_server: PostgresServer
) -> None:
    count, url = rounds(300, 20_000), postgres_server.create_database()
    async with front(tmp_path / "a") as sqlite, front(tmp_path / "b", url) as postgres:
        differ = await differences(sqlite, postgres, bodies(count, SEED + 3))
    # The planted bug: one store refuses what the other one takes.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PostgresStore, "create_job", _refusing)
        async with front(tmp_path / "c") as sqlite, front(tmp_path / "d", url) as postgres:
            caught = bool(await differences(sqlite, postgres, islice(spoiled(SEED + 4), 100)))
    write("hostile_bodies_stores", count, differ, planted_bug_caught=caught)
    assert not differ, differ[:5]
    assert caught


async def differences(one_app: Any, other_app: Any, sent: Iterable[bytes]) -> list[str]:
    """Bodies that are answered in two ways, with the answers' status and code."""
    found: list[str] = []
    for body in sent:
        one = await call(one_app, "POST", "/train", HEADERS, body)
        other = await call(other_app, "POST", "/train", HEADERS, body)
        codes = (one.json().get("code"), other.json().get("code"))
        if one.status != other.status or codes[0] != codes[1]:
            found.append(f"{one.status} {other.status} {codes} {body[:300]!r}")
    return found


async def _refusing(*_: object) -> None:
    raise unavailable()
