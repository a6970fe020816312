"""Lists, the event log live and from memory, metrics, checkpoints, artifacts, logs."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from support.front import TENANT, Front, request
from support.job_samples import attempt
from tunegate.contract.job import JobEvent
from tunegate.control.kept_log import kept_log
from tunegate.control.records import RESULT_FILES, JobRecord, JobState, NewEvent
from tunegate.control.service import JobService
from tunegate.control.store.protocol import Change, JobFilter
from tunegate.sdk.errors import TunegateError


def event(detail: str, kind: str = "job.note", **fields: Any) -> NewEvent:
    plain: dict[str, Any] = {"status": "running", "phase": "training", "attempt": 1}
    return NewEvent(type=kind, detail=detail, **(plain | fields))


async def write(front: Front, *events: NewEvent, **more: Any) -> JobRecord:
    job = await front.store.get_job("acme", "job-1")
    assert job is not None
    after = await front.store.apply(
        Change(uid=job.uid, version=job.version, events=list(events), **more)
    )
    assert after is not None
    return after


async def finish(front: Front, state: JobState = JobState.SUCCEEDED, **data: Any) -> JobRecord:
    last = event("over", "job.status", status=state.value, data=data)
    return await write(front, last, fields={"state": state})


def sequences(events: Sequence[JobEvent]) -> list[int]:
    return [one.sequence for one in events]


async def test_pages_of_jobs(service: JobService) -> None:
    for name in "abc":
        await service.submit(TENANT, request(job_id=name, metadata={"odd": str(name in "ac")}))
    first = await service.list(TENANT, JobFilter(), None, 2)
    assert ([job.job_id for job in first.data], first.has_more) == (["c", "b"], True)
    rest = await service.list(TENANT, JobFilter(), "b", 2)
    assert ([job.job_id for job in rest.data], rest.has_more) == (["a"], False)
    odd = await service.list(TENANT, JobFilter(metadata={"odd": "True"}), None, 9)
    assert [job.job_id for job in odd.data] == ["c", "a"]


async def test_pages_of_events(front: Front, service: JobService) -> None:
    await service.submit(TENANT, request())
    await write(front, *(event(f"note {number}") for number in range(4)))
    page = await service.events(TENANT, "job-1", 1, 2)
    assert (sequences(page.data), page.has_more) == ([2, 3], True)
    notes = await service.events(TENANT, "job-1", 3, 10, ["job.note"])
    assert (sequences(notes.data), notes.has_more) == ([4, 5], False)


class TestFollowing:
    async def test_replay_then_live_without_a_gap(self, front: Front, service: JobService) -> None:
        await service.submit(TENANT, request())
        await write(front, *(event(f"early {number}") for number in range(3)))
        seen: list[JobEvent] = []

        async def follow() -> None:
            seen.extend([one async for one in service.follow_events(TENANT, "job-1", 2)])

        following = asyncio.create_task(follow())
        for number in range(50):
            await write(front, event(f"live {number}"))
        await finish(front)
        await asyncio.wait_for(following, 20)
        assert sequences(seen) == list(range(3, 56))
        assert seen[-1].status == "succeeded"

    async def test_events_of_another_replica_are_found_without_a_hint(
        self, front: Front, service: JobService, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await service.submit(TENANT, request())
        front.clock.impatient = True
        monkeypatch.setattr(front.store, "_notify", lambda uid: None)
        following = service.follow_events(TENANT, "job-1", 0)
        assert (await anext(following)).sequence == 1
        coming = asyncio.ensure_future(anext(following))
        await write(front, event("from elsewhere"))
        assert (await asyncio.wait_for(coming, 20)).detail == "from elsewhere"
        await following.aclose()

    async def test_of_a_finished_job_it_ends(self, front: Front, service: JobService) -> None:
        await service.submit(TENANT, request())
        await finish(front)
        events = [one async for one in service.follow_events(TENANT, "job-1", 0)]
        assert sequences(events) == [1, 2]
        assert [one async for one in service.follow_events(TENANT, "job-1", 99)] == []

    async def test_an_end_between_two_looks_is_not_missed(
        self, front: Front, service: JobService, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await service.submit(TENANT, request())
        real = front.store.read_events

        async def late(*arguments: Any) -> list[JobEvent]:
            batch = await real(*arguments)
            job = await front.store.get_by_uid("uid0001")
            if not batch and job is not None and job.state is JobState.QUEUED:
                await finish(front)
            return batch

        monkeypatch.setattr(front.store, "read_events", late)
        events = [one async for one in service.follow_events(TENANT, "job-1", 0)]
        assert sequences(events) == [1, 2]

    async def test_a_quiet_job_costs_nothing(
        self, front: Front, service: JobService, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await service.submit(TENANT, request())
        real, looks = front.store.read_events, list[int]()

        async def counted(*arguments: Any) -> list[JobEvent]:
            looks.append(1)
            return await real(*arguments)

        monkeypatch.setattr(front.store, "read_events", counted)
        following = service.follow_events(TENANT, "job-1", 0)
        await anext(following)
        coming = asyncio.ensure_future(anext(following))
        await write(front, event("one"))
        await coming
        coming = asyncio.ensure_future(anext(following))
        for _ in range(50):
            await front.store.get_by_uid("uid0001")  # lets the follower run as often
        assert len(looks) < 8
        coming.cancel()
        await asyncio.wait({coming})
        await following.aclose()

    async def test_a_retry_goes_on(self, front: Front, service: JobService) -> None:
        await service.submit(TENANT, request())
        await finish(front, JobState.FAILED)
        await service.retry(TENANT, "job-1")
        following = service.follow_events(TENANT, "job-1", 0)
        statuses = [(await anext(following)).status for _ in range(3)]
        assert statuses == ["queued", "failed", "queued"]
        coming = asyncio.ensure_future(anext(following))
        await write(front, event("again"))
        assert (await asyncio.wait_for(coming, 20)).detail == "again"
        await following.aclose()

    async def test_it_ends_when_the_job_is_forgotten(
        self, front: Front, service: JobService
    ) -> None:
        await service.submit(TENANT, request())
        following = service.follow_events(TENANT, "job-1", 0)
        await anext(following)
        coming = asyncio.ensure_future(anext(following, None))
        await finish(front)
        assert await asyncio.wait_for(coming, 20) is not None
        await service.forget(TENANT, "job-1")
        assert await asyncio.wait_for(anext(following, None), 20) is None

    async def test_no_follower_is_left_behind(self, front: Front, service: JobService) -> None:
        await service.submit(TENANT, request())
        following = service.follow_events(TENANT, "job-1", 0)
        await anext(following)
        assert service._wakeups._waiting.keys() == {"uid0001"}
        await following.aclose()
        assert service._wakeups._waiting == {}

    async def test_an_unknown_job(self, service: JobService) -> None:
        with pytest.raises(TunegateError, match="job_not_found"):
            await anext(service.follow_events(TENANT, "job-1", 0))


async def test_metrics_and_checkpoints(front: Front, service: JobService) -> None:
    await service.submit(TENANT, request())
    many = [
        event("", "job.metrics", data={"step": step, "values": {"loss": 1 / step}})
        for step in range(1, 701)
    ]
    saved = {"step": 10, "uri": "s3://b/c/step-000010/", "size_bytes": 5}
    await write(front, *many, event("", "job.checkpoint", data=saved))
    series = (await service.metrics(TENANT, "job-1")).data
    assert [point.step for point in series] == list(range(1, 701))
    assert series[1].values == {"loss": 0.5}
    rest = (await service.metrics(TENANT, "job-1", series[-3].sequence)).data
    assert rest == series[-2:]
    [checkpoint] = (await service.checkpoints(TENANT, "job-1")).data
    assert (checkpoint.step, checkpoint.uri, checkpoint.size_bytes) == (10, saved["uri"], 5)


class TestArtifacts:
    FILES = ({"path": "adapter.safetensors", "size_bytes": 7, "sha256": "ab"},)

    async def test_none_before_the_end(self, service: JobService) -> None:
        await service.submit(TENANT, request())
        assert (await service.artifacts(TENANT, "job-1")).data == []

    async def test_they_are_known_when_the_credentials_are_gone(
        self, front: Front, service: JobService
    ) -> None:
        await service.submit(TENANT, request())
        await finish(front, **{RESULT_FILES: list(self.FILES)})
        await front.store.destroy_sealed("uid0001", ["request"])
        found = await service.artifacts(TENANT, "job-1")
        assert found.complete
        [file] = found.data
        assert file.uri == "s3://bucket/results/job-1/adapter.safetensors"
        assert (file.size_bytes, file.sha256, file.url) == (7, "ab", None)

    async def test_links_are_made_with_the_jobs_credentials(
        self, front: Front, service: JobService
    ) -> None:
        auth = {"aws_access_key_id": "a", "aws_secret_access_key": "b"}
        await service.submit(TENANT, request(artifacts={"output_uri": "s3://b/x", "auth": auth}))
        await finish(front, **{RESULT_FILES: list(self.FILES)})
        [file] = (await service.artifacts(TENANT, "job-1")).data
        assert file.url == "https://links.test/s3://b/x/job-1/adapter.safetensors"


class TestLogs:
    async def read(self, service: JobService, *, follow: bool = False, offset: int = 0) -> bytes:
        chunks = [one async for one in service.logs(TENANT, "job-1", follow, offset)]
        return b"".join(chunks)

    async def launch(self, front: Front, **fields: Any) -> str:
        job = await front.store.get_job("acme", "job-1")
        assert job is not None
        new = attempt(job, submitted=True, **fields)
        await write(front, fields={"state": JobState.PENDING, "attempt": 1}, new_attempt=new)
        return new.run_name

    async def test_before_the_first_run_there_is_none(self, service: JobService) -> None:
        await service.submit(TENANT, request())
        assert await self.read(service) == b""

    async def test_of_a_run_they_come_from_its_launcher(
        self, front: Front, service: JobService
    ) -> None:
        await service.submit(TENANT, request())
        front.launcher.output[await self.launch(front)] = b"hello world"
        assert await self.read(service, offset=6) == b"world"

    async def test_following_waits_for_the_run(self, front: Front, service: JobService) -> None:
        await service.submit(TENANT, request())
        front.launcher.output["tg-uid0001-1"] = b"here"
        reading = asyncio.create_task(self.read(service, follow=True))
        await self.launch(front)
        assert await asyncio.wait_for(reading, 20) == b"here"

    async def test_a_clean_up_in_the_middle_loses_nothing(
        self, front: Front, service: JobService
    ) -> None:
        await service.submit(TENANT, request())
        front.launcher.output[await self.launch(front)] = b"hello"
        kept = kept_log(front.context.state_dir, "uid0001", 1)
        kept.parent.mkdir(parents=True)
        kept.write_bytes(b"hello world")
        assert await self.read(service) == b"hello world"
        assert await self.read(service, offset=2, follow=True) == b"llo world"

    async def test_after_the_clean_up_they_come_from_the_kept_copy(
        self, front: Front, service: JobService
    ) -> None:
        await service.submit(TENANT, request())
        await self.launch(front, cleaned=True)
        assert await self.read(service) == b"", "a run without output leaves no copy"
        kept = kept_log(front.context.state_dir, "uid0001", 1)
        kept.parent.mkdir(parents=True)
        kept.write_bytes(b"x" * 100_000 + b"end")
        assert await self.read(service, offset=99_999) == b"xend"
        assert len(await self.read(service)) == 100_003
