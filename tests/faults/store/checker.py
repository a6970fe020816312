"""What must be true of a store after any fault: every acknowledged step is there, and nothing is there by half."""

from collections.abc import AsyncGenerator, Iterable
from pathlib import Path

import apsw

from support.job_samples import attempt, delivery, event, submission
from tunegate.control.records import JobRecord, JobState
from tunegate.control.store.protocol import Change, JobFilter, JobStore, Submission


def accepted(job_id: str) -> Submission:
    """Step 1 of a job: one event, one webhook, one sealed field."""
    return submission(job_id)


def launching(job: JobRecord) -> Change:
    """Step 2: an attempt, two events, two webhooks; the sealed field goes."""
    return Change(
        uid=job.uid,
        version=job.version,
        fields={"state": JobState.LAUNCHING, "attempt": 1},
        events=[event("intent"), event("launching")],
        deliveries=[delivery(0), delivery(1)],
        new_attempt=attempt(job),
        destroy_sealed=["secrets"],
    )


async def violations(
    store: JobStore, path: Path, acknowledged: Iterable[tuple[str, int]]
) -> list[str]:
    """Sentences on what is wrong; `acknowledged` are pairs of job_id and the version that was promised."""
    found = [
        f"{job_id} was acknowledged with version {version} and is lost"
        for job_id, version in acknowledged
        if (job := await store.get_job("acme", job_id)) is None or job.version < version
    ]
    after, more = None, True
    while more:
        page, more = await store.list_jobs("acme", JobFilter(), after, 200)
        for job in page:
            after = job.job_id
            found += [f"{job.job_id}: {text}" async for text in _halves(store, job)]
    verdict = apsw.Connection(str(path), apsw.SQLITE_OPEN_READONLY).pragma("integrity_check")
    return found if verdict == "ok" else [*found, f"the file is corrupt: {verdict}"]


async def _halves(store: JobStore, job: JobRecord) -> AsyncGenerator[str]:
    """What is missing of a job's last step."""
    launched = job.version == 2
    events = await store.read_events(job.uid, 0, 100)
    wanted = 3 if launched else 1
    if [e.sequence for e in events] != list(range(1, wanted + 1)) or job.last_sequence != wanted:
        yield "its log has a gap"
    if await store.pending_deliveries(job.uid) != wanted:
        yield "its outbox is not complete"
    if (await store.get_attempt(job.uid, 1) is not None) != launched:
        yield "its attempt does not fit its state"
    if (await store.get_sealed(job.uid, "secrets") is None) != launched:
        yield "its sealed field does not fit its state"
    if (job.state == JobState.LAUNCHING) != launched:
        yield "its state does not fit its version"
