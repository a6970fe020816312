"""Rotation with a real store: live jobs move to the new key, the old one is retired, nothing is lost on the way."""

import asyncio
from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from msgspec.structs import replace

from support.job_samples import ManualClock, submission
from tunegate.cli import main
from tunegate.control.key_file import change_ring, read_ring
from tunegate.control.keyring import derive, rotating
from tunegate.control.records import JobRecord
from tunegate.control.rewrapping import KeyKeeper, keys_in_use, rewrap
from tunegate.control.sealed import CALLBACKS, REQUEST
from tunegate.control.sealer import KEY, SealBroken, SealContext, Sealer
from tunegate.control.store.sqlite import SqliteStore
from tunegate.control.store.sqlite.scrubber import scrub
from tunegate.sdk.clock import SystemClock

FIELDS = {REQUEST: b"the request", CALLBACKS: b"whom to tell"}


class World:
    """A store and a sealer, as a gateway has them."""

    def __init__(self, folder: Path) -> None:
        self.key_file = folder / "tunegate.key"
        self.path = folder / "tunegate.db"
        self.store = SqliteStore(self.path, ManualClock())
        self.sealer = Sealer(self.key_file)

    async def create(self, job_id: str, sealed: dict[str, bytes] | None = None) -> JobRecord:
        plain = submission(job_id)
        job = plain.job
        fields = sealed or await self.sealer.seal(job.tenant, job.uid, FIELDS)
        return (await self.store.create_job(replace(plain, sealed=fields))).job

    def first_format(self, job_id: str) -> dict[str, bytes]:
        job = submission(job_id).job
        key_id, key = next(iter(read_ring(self.key_file).keys.items()))
        cipher = AESGCM(derive(key, "seal"))

        def seal(field: str, plain: bytes) -> bytes:
            bound = msgspec.json.encode([job.tenant, job.uid, field, key_id])
            return key_id.encode() + b"\0" + b"n" * 12 + cipher.encrypt(b"n" * 12, plain, bound)

        return {field: seal(field, plain) for field, plain in FIELDS.items()}

    async def opened(self, job: JobRecord, sealer: Sealer | None = None) -> dict[str, bytes]:
        found: dict[str, bytes] = {}
        for field in FIELDS:
            sealed = await self.store.get_sealed(job.uid, field)
            key = await self.store.get_sealed(job.uid, KEY)
            place = SealContext(tenant=job.tenant, uid=job.uid, field=field)
            assert sealed is not None
            found[field] = await (sealer or self.sealer).open(place, sealed, key)
        return found

    def rotate(self) -> str:
        return change_ring(self.key_file, lambda ring: rotating(ring, datetime.now(UTC))).active


@pytest.fixture
async def world(tmp_path: Path) -> AsyncGenerator[World]:
    made = World(tmp_path)
    await made.store.open()
    yield made
    await made.store.close()


async def test_live_jobs_move_to_the_new_key(world: World) -> None:
    old_key = world.sealer.active
    jobs = [await world.create(f"job-{n}") for n in range(5)]
    jobs += [await world.create(f"old-{n}", world.first_format(f"old-{n}")) for n in range(3)]
    assert await keys_in_use(world.store) == {old_key: 5 + 2 * 3}
    new_key = world.rotate()
    assert await rewrap(world.store, world.sealer) == 8
    assert await keys_in_use(world.store) == {new_key: 8}
    assert await rewrap(world.store, world.sealer) == 0
    for job in jobs:
        assert await world.opened(job) == FIELDS


async def test_a_job_whose_key_is_gone_does_not_stop_the_others(world: World) -> None:
    lost = await world.create("lost")
    await world.store.replace_sealed(lost.uid, {}, {KEY: b"\x02gone\0" + bytes(60)})
    kept = await world.create("kept")
    world.rotate()
    assert await rewrap(world.store, world.sealer) == 1
    assert await world.opened(kept) == FIELDS
    with pytest.raises(SealBroken):
        await world.opened(lost)


async def test_jobs_stay_readable_while_keys_change_all_the_time(world: World) -> None:
    """Two gateways, of which one rotates and rewraps; the other creates and reads."""
    other = Sealer(world.key_file)
    jobs: list[JobRecord] = []

    async def create() -> None:
        for number in range(60):
            jobs.append(await world.create(f"job-{number}"))
            assert await world.opened(jobs[number // 2], other) == FIELDS

    async def rotate() -> None:
        for _ in range(6):
            world.rotate()
            await rewrap(world.store, other)

    await asyncio.gather(create(), rotate())
    await rewrap(world.store, other)
    assert await keys_in_use(world.store) == {world.sealer.active: 60}


async def test_a_gateway_rewraps_by_itself(world: World) -> None:
    await world.create("job-1")
    keeper = KeyKeeper(world.store, world.sealer, SystemClock(), every_s=0.01)
    await keeper.start()
    new_key = world.rotate()
    for _ in range(1000):
        if await keys_in_use(world.store) == {new_key: 1}:
            break
        await asyncio.sleep(0.01)
    else:
        pytest.fail("the job still hangs on the old key")
    await keeper.stop()


async def test_destroyed_secrets_leave_database_and_log(world: World) -> None:
    job = await world.create("job-1")
    rows = [await world.store.get_sealed(job.uid, field) for field in (*FIELDS, KEY)]
    wal = world.path.with_name(world.path.name + "-wal")

    def found() -> int:
        text = world.path.read_bytes() + wal.read_bytes()
        return sum(row in text for row in rows if row is not None)

    assert found() == 3
    await world.store.destroy_sealed(job.uid, [*FIELDS, KEY])
    assert found() == 3, "the log still holds them, or this test shows nothing"
    assert await asyncio.to_thread(scrub, world.path)
    assert found() == 0
    assert wal.stat().st_size == 0
    assert await world.store.get_by_uid(job.uid) is not None


def test_the_command_goes_through_a_rotation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TUNEGATE_STATE_DIR", str(tmp_path))

    def keys(*arguments: str) -> tuple[int, list[str]]:
        code = main(["keys", *arguments])
        out = capsys.readouterr()
        return code, (out.out + out.err).splitlines()

    async def scene() -> None:
        world = World(tmp_path)
        await world.store.open()
        await world.create("job-1")
        first = world.sealer.active
        # While the gateway has the store open, an operator can look, stage and rotate.
        code, lines = await asyncio.to_thread(keys, "status")
        assert (code, lines) == (0, [f"{first}  active  1 in use"])
        code, [line] = await asyncio.to_thread(keys, "stage")
        staged = line.split()[0]
        code, lines = await asyncio.to_thread(keys, "status")
        assert lines == [f"{first}  active  1 in use", f"{staged}  staged  0 in use"]
        assert (await asyncio.to_thread(keys, "rotate"))[1] == [f"{staged} seals from now on"]
        code, [line] = await asyncio.to_thread(keys, "retire", first)
        assert (code, line) == (
            1,
            f"tunegate: 1 jobs still hang on {first}; see `tunegate keys rewrap`.",
        )
        code, [line] = await asyncio.to_thread(keys, "rewrap")
        assert (code, "Another gateway" in line) == (1, True)
        await world.store.close()
        assert await asyncio.to_thread(keys, "rewrap") == (0, ["1 jobs moved to the newest key"])
        assert await asyncio.to_thread(keys, "retire") == (0, [f"{first} is gone"])
        assert await asyncio.to_thread(keys, "retire") == (0, ["nothing to do"])
        assert (await asyncio.to_thread(keys, "retire", staged))[0] == 1
        assert (await asyncio.to_thread(keys, "status"))[1] == [f"{staged}  active  1 in use"]

    asyncio.run(scene())


def test_a_key_file_that_others_may_read_stops_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TUNEGATE_STATE_DIR", str(tmp_path))
    read_ring(tmp_path / "tunegate.key")
    (tmp_path / "tunegate.key").chmod(0o644)
    assert main(["keys", "rotate"]) == 2
    assert "0600" in capsys.readouterr().err
