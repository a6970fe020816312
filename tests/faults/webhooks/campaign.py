"""A real outbox, store and egress client against receivers that are well, slow, flapping, down or hanging."""

import asyncio
import json
import random
import resource
import socket
import sys
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import chain, cycle, islice
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
from aiohttp.abc import AbstractResolver, ResolveResult

from faults.report import rounds
from faults.webhooks.checker import Due, Line
from support.job_samples import event, job
from tunegate.contract.secret import Secret, reveal_hook
from tunegate.control.courier import Courier
from tunegate.control.deliveries import new_deliveries
from tunegate.control.outbound import Outbound
from tunegate.control.outbox import Outbox
from tunegate.control.records import JobRecord, JobState
from tunegate.control.sealed import CALLBACKS, SealedCallbacks
from tunegate.control.sealer import Sealer
from tunegate.control.settings import WebhookSettings
from tunegate.control.store.protocol import Change, Submission
from tunegate.control.store.sqlite import SqliteStore
from tunegate.egress import (
    EgressClient,
    EgressFailed,
    EgressPolicy,
    EgressRefused,
    EgressUnreachable,
)
from tunegate.sdk.clock import SystemClock
from tunegate.sdk.testing.gateway_process import free_port

TESTS = Path(__file__).parents[2]
KINDS = {"ok": 0.6, "hang": 0.1, "slow": 0.1, "flap": 0.1, "down": 0.1}
"""Shares of the jobs. Each job that hangs has a receiver of its own; the others share a hundred of a kind."""
SHARED = 100
SETTINGS = WebhookSettings(
    first_delay_s=0.0,
    timeout_s=rounds(2, 15),
    schedule_s=(1.0, 2.0, 4.0) + (5.0,) * 40,
)
LAST_WAIT_S = 180.0


class Loopback(AbstractResolver):
    """Every name is this machine."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return [
            ResolveResult(
                hostname=host, host="127.0.0.1", port=port, family=socket.AF_INET, proto=0, flags=0
            )
        ]

    async def close(self) -> None:
        pass


@dataclass
class Campaign:
    """Jobs at a steady pace, each with a first and a final status."""

    store: SqliteStore
    sealer: Sealer
    port: int
    jobs_per_s: float
    due: dict[str, Due] = field(default_factory=dict[str, Due])

    async def run(self, count: int) -> list[Line]:
        """What the receivers saw of `count` jobs."""
        records = [await self._paced(self._create(*row)) for row in self._receivers(count)]
        for record, receiver in records:
            await self._paced(self._finish(record, receiver))
        async with aiohttp.ClientSession(f"http://127.0.0.1:{self.port}") as session:
            await session.post("/behave")
            await self._emptied()
            async with session.get("/log") as answer:
                return [tuple(line) for line in json.loads(await answer.read())]

    async def _emptied(self) -> None:
        for _ in range(int(LAST_WAIT_S / 0.5)):
            if not (await self.store.counts()).outbox:
                return
            await asyncio.sleep(0.5)

    def _receivers(self, count: int) -> Iterator[tuple[int, str]]:
        kinds = list(
            chain.from_iterable([kind] * round(share * count) for kind, share in KINDS.items())
        )
        random.Random(3).shuffle(kinds)
        shared = {kind: cycle(range(SHARED)) for kind in KINDS}
        for number, kind in enumerate(islice(kinds, count)):
            own = number if kind == "hang" else next(shared[kind])
            yield number, f"{kind}-{own}.example"

    async def _paced(self, work: Any) -> Any:
        done, _ = await asyncio.gather(work, asyncio.sleep(1 / self.jobs_per_s))
        return done

    async def _create(self, number: int, receiver: str) -> tuple[JobRecord, str]:
        record = job(
            f"job-{number}", self.store.now_ms(), has_webhook=True, due_ms=2**53, attempt=0
        )
        url = Secret(f"http://{receiver}:{self.port}/hook")
        plain = msgspec.json.encode(SealedCallbacks(webhook_url=url), enc_hook=reveal_hook)
        accepted = event()
        submission = Submission(
            job=record,
            sealed=await self.sealer.seal(record.tenant, record.uid, {CALLBACKS: plain}),
            events=[accepted],
            deliveries=new_deliveries(record, [accepted], SETTINGS),
        )
        self._note(record, receiver, 1, final=False)
        return (await self.store.create_job(submission)).job, receiver

    async def _finish(self, record: JobRecord, receiver: str) -> None:
        after = msgspec.structs.replace(
            record, state=JobState.SUCCEEDED, updated_ms=self.store.now_ms()
        )
        ended = event(status="succeeded", phase="succeeded", detail="done")
        self._note(after, receiver, record.last_sequence + 1, final=True)
        change = Change(
            uid=record.uid,
            version=record.version,
            fields={"state": JobState.SUCCEEDED},
            events=[ended],
            deliveries=new_deliveries(after, [ended], SETTINGS),
        )
        assert await self.store.apply(change) is not None

    def _note(self, record: JobRecord, receiver: str, sequence: int, *, final: bool) -> None:
        name = f"{record.uid}-webhook-{sequence}"
        # The second status of a healthy receiver waits for the first one alone, which has long arrived.
        self.due[name] = Due(receiver, record.updated_ms, record.uid, sequence, final)


@asynccontextmanager
async def campaign(folder: Path, jobs_per_s: float) -> AsyncGenerator[Campaign]:
    """Everything running: receivers in a process of their own, store, outbox."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    port = free_port()
    receivers = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "faults.webhooks.receiver", str(port), cwd=TESTS
    )
    store, sealer, clock = (
        SqliteStore(folder / "jobs.db", SystemClock()),
        Sealer(folder / "key"),
        SystemClock(),
    )
    await store.open()
    policy = EgressPolicy(allow_http=True, allow_private_addresses=True, allowed_ports=[])
    try:
        await _listening(port)
        async with EgressClient(policy, resolver=Loopback()) as egress:
            courier = Courier(
                store=store,
                sealer=sealer,
                outbound=Outbound(
                    client=egress,
                    refused=EgressRefused,
                    failed=EgressFailed,
                    unreachable=EgressUnreachable,
                ),
                settings=SETTINGS,
                signer=None,
                clock=clock,
                chance=random.Random(1).random,
            )
            outbox = Outbox(
                store=store, courier=courier, settings=SETTINGS, clock=clock, owner="campaign"
            )
            await outbox.start()
            try:
                yield Campaign(store, sealer, port, jobs_per_s)
            finally:
                await outbox.stop()
    finally:
        receivers.kill()
        await receivers.wait()
        await store.close()


async def _listening(port: int) -> None:
    async with asyncio.timeout(30):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                return
