"""Creating, finding, listing and forgetting."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from msgspec.structs import replace

from support.job_samples import ManualClock, attempt, delivery, event, job, submission
from tunegate.control.records import JobState
from tunegate.control.store.protocol import Change, JobFilter, JobStore
from tunegate.sdk.errors import TunegateError


class JobPromises:
    async def test_a_created_job_is_found(self, store: JobStore) -> None:
        sent = submission(metadata={"team": "a"}, launcher_options={"huge": 10**30})
        created = await store.create_job(sent)
        assert created.created
        assert created.job == replace(sent.job, last_sequence=1)
        assert await store.get_job("acme", "job-1") == created.job
        assert await store.get_by_uid("uid-job-1") == created.job
        assert await store.get_sealed("uid-job-1", "secrets") == b"sealed bytes"

    async def test_what_is_not_there_is_none(self, store: JobStore) -> None:
        await store.create_job(submission())
        assert await store.get_job("other", "job-1") is None
        assert await store.get_by_uid("nobody") is None
        assert await store.get_sealed("uid-job-1", "other") is None
        assert await store.find_attempt("nobody") is None
        assert await store.get_attempt("uid-job-1", 1) is None

    async def test_200_racers_make_one_job(self, store: JobStore) -> None:
        racers = [replace(submission(), job=job(uid=f"uid-{n}")) for n in range(200)]
        results = await asyncio.gather(*map(store.create_job, racers))
        assert sum(result.created for result in results) == 1
        assert len({result.job.uid for result in results}) == 1
        page, more = await store.list_jobs("acme", JobFilter(), None, 10)
        assert (len(page), more) == (1, False)
        assert len(await store.read_events(results[0].job.uid, 0, 10)) == 1

    async def test_the_same_id_of_another_tenant_is_another_job(self, store: JobStore) -> None:
        await store.create_job(submission())
        other = submission(uid="uid-other", tenant="other")
        assert (await store.create_job(other)).created

    async def test_all_survives_a_restart(
        self, store: JobStore, reopen: Callable[[], Awaitable[JobStore]]
    ) -> None:
        created = await store.create_job(submission())
        again = await reopen()
        assert await again.get_job("acme", "job-1") == created.job
        assert len(await again.read_events("uid-job-1", 0, 10)) == 1
        assert await again.pending_deliveries("uid-job-1") == 1

    async def test_lists_go_newest_first_in_pages(self, store: JobStore) -> None:
        for number in range(5):
            await store.create_job(submission(f"job-{number}"))
        await store.create_job(submission("elsewhere", tenant="other"))
        seen: list[str] = []
        after, more = None, True
        while more:
            page, more = await store.list_jobs("acme", JobFilter(), after, 2)
            seen += [found.job_id for found in page]
            after = seen[-1]
        assert seen == ["job-4", "job-3", "job-2", "job-1", "job-0"]

    async def test_a_job_that_arrives_meanwhile_shifts_no_page(self, store: JobStore) -> None:
        for number in range(3):
            await store.create_job(submission(f"job-{number}"))
        first, _ = await store.list_jobs("acme", JobFilter(), None, 2)
        await store.create_job(submission("late"))
        rest, more = await store.list_jobs("acme", JobFilter(), first[-1].job_id, 2)
        assert ([found.job_id for found in rest], more) == (["job-0"], False)

    async def test_an_unknown_cursor_is_an_error(self, store: JobStore) -> None:
        await store.create_job(submission(tenant="other"))
        with pytest.raises(TunegateError) as caught:
            await store.list_jobs("acme", JobFilter(), "job-1", 10)
        assert caught.value.code == "invalid_parameter"

    @pytest.mark.parametrize(
        ("wanted", "expected"),
        [
            (JobFilter(), ["c", "b", "a"]),
            (JobFilter(status="queued"), ["b", "a"]),
            (JobFilter(status="running"), ["c"]),
            (JobFilter(status="failed"), []),
            (JobFilter(backend="qlora"), ["b"]),
            (JobFilter(metadata={"team": "x"}), ["c", "a"]),
            (JobFilter(metadata={"team": "x", "stage": "1"}), ["a"]),
            (JobFilter(status="running", metadata={"team": "x"}), ["c"]),
            (JobFilter(metadata={"team": "1"}), []),
            (JobFilter(launcher="local"), ["c", "b", "a"]),
            (JobFilter(launcher="slurm"), []),
        ],
    )
    async def test_filters(self, store: JobStore, wanted: JobFilter, expected: list[str]) -> None:
        await store.create_job(submission("a", metadata={"team": "x", "stage": "1"}))
        await store.create_job(submission("b", state=JobState.STARTING, backend="qlora"))
        await store.create_job(submission("c", state=JobState.UPLOADING, metadata={"team": "x"}))
        found, more = await store.list_jobs("acme", wanted, None, 10)
        assert ([record.job_id for record in found], more) == (expected, False)

    @pytest.mark.parametrize(
        ("part", "expected"),
        [
            ("llama", ["Llama-3_8b", "llama-2"]),
            ("LLAMA-3", ["Llama-3_8b"]),
            ("3_8", ["Llama-3_8b"]),
            ("_", ["Llama-3_8b"]),
            ("%", ["other"]),
            ("\\", ["llama-2"]),
            ("größe", ["other"]),
            ("purpose", []),
            ("nothing", []),
        ],
    )
    async def test_searches_names_and_metadata(
        self, store: JobStore, part: str, expected: list[str]
    ) -> None:
        await store.create_job(submission("llama-2", metadata={"purpose": "a\\b"}))
        await store.create_job(submission("other", metadata={"purpose": "100% größe"}))
        await store.create_job(submission("Llama-3_8b", metadata={"purpose": "x"}))
        await store.create_job(submission("llama-foreign", tenant="other"))
        found, _ = await store.list_jobs("acme", JobFilter(search=part), None, 10)
        assert [record.job_id for record in found] == expected

    async def test_lists_a_span_of_time(self, store: JobStore) -> None:
        for number in range(4):
            await store.create_job(submission(f"job-{number}", created_ms=1000 * number))
        found, _ = await store.list_jobs("acme", JobFilter(since_ms=1000, until_ms=3000), None, 10)
        assert [record.job_id for record in found] == ["job-2", "job-1"]

    async def test_forgets_final_jobs_alone_and_whole(self, store: JobStore) -> None:
        created = (await store.create_job(submission(metadata={"team": "x"}))).job
        assert not await store.forget("acme", "job-1")
        change = Change(
            uid=created.uid,
            version=1,
            fields={"state": JobState.CANCELLED, "attempt": 1},
            events=[event("end")],
            deliveries=[delivery(final=True)],
            new_attempt=attempt(created),
        )
        await store.apply(change)
        assert not await store.forget("other", "job-1")
        assert await store.forget("acme", "job-1")
        assert not await store.forget("acme", "job-1")
        assert await store.get_by_uid(created.uid) is None
        assert await store.find_attempt(attempt(created).attempt_id) is None
        assert await store.read_events(created.uid, 0, 10) == []
        assert await store.get_sealed(created.uid, "secrets") is None
        assert await store.lease_deliveries("me", 10, 1000) == []
        assert (await store.list_jobs("acme", JobFilter(metadata={"team": "x"}), None, 9))[0] == []
        assert (await store.create_job(submission())).created

    async def test_counts(self, store: JobStore, clock: ManualClock) -> None:
        assert (await store.counts()).oldest_queued_ms is None
        await store.create_job(submission("a"))
        clock.time_ms += 500
        await store.create_job(submission("b", now_ms=clock.time_ms))
        await store.create_job(submission("c", state=JobState.RUNNING))
        clock.time_ms += 1000
        counts = await store.counts()
        assert counts.jobs == {"queued": 2, "running": 1}
        assert counts.outbox == 3
        assert (counts.oldest_queued_ms, counts.oldest_delivery_ms) == (1500, 1500)

    async def test_ping_and_the_clock(self, store: JobStore, clock: ManualClock) -> None:
        await store.ping()
        assert store.now_ms() == clock.time_ms

    async def test_after_close_it_says_unavailable(self, store: JobStore) -> None:
        await store.close()
        for call in (store.ping(), store.get_by_uid("u"), store.create_job(submission())):
            with pytest.raises(TunegateError) as caught:
                await call
            assert caught.value.code == "unavailable"
