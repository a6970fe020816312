"""A life of a store: many jobs go their way through all that writes, each step checked once it is acknowledged."""

import asyncio
import random
from collections.abc import AsyncGenerator
from pathlib import Path

from msgspec.structs import replace

from faults.store.recording_disk import Recording
from support.job_samples import ManualClock, attempt, delivery, event, submission
from tunegate.contract.attempt import NoteEvent, SequencedEvent
from tunegate.control.principal import Principal
from tunegate.control.records import JobRecord, JobState
from tunegate.control.store.protocol import Change, PutOff
from tunegate.control.store.sqlite import SqliteStore
from tunegate.control.store.sqlite.scrubber import scrub
from tunegate.control.tokens import TokenRecord

TENANTS = ("acme", "umbrella")


class Life:
    """Jobs of one store, several at once."""

    def __init__(
        self, path: Path, recording: Recording, chance: random.Random, name: str, jobs: int
    ) -> None:
        self.path = path
        self.clock = ManualClock(1_700_000_000_000 + chance.randrange(10**9))
        self._recording = recording
        self._chance = chance
        self._name = name
        self._jobs = jobs
        self._store = SqliteStore(path, self.clock)

    async def run(self) -> None:
        await self._store.open()
        self._recording.mark()
        ways = [self._way(f"{self._name}-{n}", n) for n in range(self._jobs)]
        while ways:
            together = self._chance.sample(ways, min(len(ways), self._chance.choice((1, 1, 3, 8))))
            going = await asyncio.gather(*(anext(way, None) for way in together))
            ways = [
                way for way in ways if way not in together or going[together.index(way)] is not None
            ]
            self.clock.time_ms += 10_000
            self._recording.mark()  # nothing is under way now, all of it was acknowledged
            if self._chance.random() < 0.04:
                await asyncio.to_thread(scrub, self.path)
                self._recording.mark()
        await self._store.close()
        self._recording.mark()

    async def _way(self, job_id: str, number: int) -> AsyncGenerator[str]:
        """All that becomes of one job; stops after each acknowledged step."""
        store, tenant = self._store, TENANTS[number % 2]
        sent = submission(
            job_id,
            uid=f"uid-{job_id}",
            tenant=tenant,
            metadata={"team": "blue", "n": str(number)},
            has_webhook=True,
            notes=["x" * self._chance.choice((10, 3_000, 9_000))],
            now_ms=self.clock.now_ms(),
        )
        sent = replace(sent, deliveries=[delivery(), delivery(channel="stream")])
        if number % 5 == 0:
            sent = replace(sent, max_jobs=10_000)
        job = (await store.create_job(sent)).job
        await self._is_there(job)
        yield "created"
        await store.lease_due("me", self._chance.randint(1, 20), 5_000)
        yield "leased"
        job = await self._apply(
            job,
            fields={"state": JobState.LAUNCHING, "attempt": 1},
            events=[event("intent"), event("launching")],
            deliveries=[delivery(0), delivery(1), delivery(1, channel="stream")],
            new_attempt=attempt(job),
            destroy_sealed=["other"],
            sealed={"callbacks": b"c" * 700},
        )
        yield "launching"
        attempt_id = f"{job.uid}-1"
        claim = await store.claim_attempt(attempt_id, "run-1")
        assert claim.granted
        assert await store.find_attempt(attempt_id) == claim.attempt
        yield "claimed"
        for first in range(1, self._chance.randint(2, 5)):
            batch = [self._word(sequence) for sequence in range(3 * first - 2, 3 * first + 1)]
            stored = await store.add_trainer_events(attempt_id, "run-1", batch)
            assert stored is not None and stored.received_through == 3 * first  # noqa: PT018
            yield "events"
        job = await self._apply(
            job,
            fields={"state": JobState.RUNNING, "metadata": {"team": "green", "n": str(number)}},
            events=[event("running")],
            deliveries=[delivery(0)],
            attempt_number=1,
            attempt_fields={"folded_through": 3},
        )
        yield "running"
        await store.replace_sealed(job.uid, {"secrets": b"sealed bytes"}, {"secrets": b"again"})
        yield "resealed"
        async for step in self._deliver(job):
            yield step
        job = await self._apply(
            job,
            fields={"state": self._chance.choice([JobState.SUCCEEDED, JobState.CANCELLED])},
            events=[event("over")],
            deliveries=[delivery(0, final=True)],
            attempt_number=1,
            attempt_fields={"ended_ms": self.clock.now_ms(), "cleaned": True},
            destroy_sealed=["secrets"],
        )
        assert await store.get_sealed(job.uid, "secrets") is None
        yield "final"
        await store.destroy_sealed(job.uid, ["callbacks"])
        yield "destroyed"
        async for step in self._token(f"{number:012}", tenant):
            yield step
        if number % 3 == 0:
            assert await store.forget(tenant, job_id)
            assert await store.get_job(tenant, job_id) is None
            yield "forgotten"

    async def _deliver(self, job: JobRecord) -> AsyncGenerator[str]:
        store = self._store
        for row in await store.lease_deliveries("me", 4, 1_000):
            match self._chance.randrange(4):
                case 0:
                    await store.postpone(row.delivery_id, row.next_at_ms + 1, "500", row.epoch)
                case 1:
                    await store.bury(row.delivery_id, "410", row.epoch)
                case 2:
                    later = PutOff(row.delivery_id, row.next_at_ms + 1, row.epoch)
                    await store.put_off([later])
                case _:
                    await store.delivered(row.delivery_id)
            yield "delivery"
        await store.replay(job.uid, None)
        yield "replayed"

    async def _token(self, token_id: str, tenant: str) -> AsyncGenerator[str]:
        token_id = self._name[:4] + token_id
        record = TokenRecord(
            token_id=token_id,
            digest=b"d" * 32,
            principal=Principal(name=tenant),
            label="label",
            created_ms=1,
        )
        await self._store.add_token(record)
        yield "token"
        await self._store.note_token_uses({token_id: self.clock.now_ms()})
        await self._store.end_token(token_id, self._chance.choice((None, 10**13)))
        kept = await self._store.get_token(token_id)
        assert kept is not None and kept.last_used_ms  # noqa: PT018
        yield "token ended"

    async def _apply(self, job: JobRecord, **change: object) -> JobRecord:
        """As long as somebody was faster: the store's own leases and wakes do not count as such."""
        now = await self._store.apply(Change(uid=job.uid, version=job.version, **change))  # type: ignore[arg-type]
        assert now is not None
        await self._is_there(now)
        return now

    async def _is_there(self, job: JobRecord) -> None:
        """What was acknowledged is what everybody reads."""
        seen = await self._store.get_by_uid(job.uid)
        assert seen is not None and seen.version == job.version, job.job_id  # noqa: PT018

    def _word(self, sequence: int) -> SequencedEvent:
        text = "n" * self._chance.randrange(1, 400)
        return SequencedEvent(sequence=sequence, at_ms=1, event=NoteEvent(text=text))
