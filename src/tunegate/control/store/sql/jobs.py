"""Jobs: create, find, list, forget."""

import re
from typing import Any

from msgspec.structs import replace

from tunegate.control.records import FINAL, PUBLIC, JobRecord
from tunegate.control.store.protocol import Created, JobFilter, Submission
from tunegate.control.store.sql import audit, happenings, log, sealed
from tunegate.control.store.sql.codec import JOB_COLUMNS, encode, job_from
from tunegate.control.store.sql.statement import Transaction, Work, ask, ask_one
from tunegate.sdk.errors import TunegateError

_INSERT = """
INSERT INTO job
    (uid, tenant, job_id, backend, launcher, state, created_ms, active, queued, gpus, gpu_limit, due_ms,
    epoch, lease_until_ms, record)
VALUES (:uid, :tenant, :job_id, :backend, :launcher, :state, :created_ms, 1, :queued, :gpus, :gpu_limit,
    :due_ms, 0, 0, :record)
ON CONFLICT (tenant, job_id) DO NOTHING
RETURNING number
"""

_FIND = f"SELECT {JOB_COLUMNS} FROM job WHERE tenant = :tenant AND job_id = :job_id"  # noqa: S608 - constants
_FIND_BY_UID = f"SELECT {JOB_COLUMNS} FROM job WHERE uid = :uid"  # noqa: S608 - constants
_UNFINISHED = f"""
SELECT count(*) FROM job
WHERE tenant = :tenant AND state NOT IN ({", ".join(f"'{state}'" for state in sorted(FINAL))})
"""  # noqa: S608 - constants
ONE_AT_A_TIME = "SELECT value FROM counter WHERE name = 'fence' FOR UPDATE"
"""Who counts before it writes holds this row meanwhile."""
_ADD_PAIR = """
INSERT INTO job_metadata (tenant, key, value, number) VALUES (:tenant, :key, :value, :number)
"""

_HOLDS = r"""
(lower(job_id) LIKE lower(:part) ESCAPE '\' OR number IN (
    SELECT number FROM job_metadata WHERE tenant = :tenant AND lower(value) LIKE lower(:part) ESCAPE '\'))
"""
_LIKE = re.compile(r"[%_\\]")


def new_job(submission: Submission) -> JobRecord:
    """The record as it is stored."""
    return replace(submission.job, last_sequence=len(submission.events))


def create(tx: Transaction, submission: Submission) -> Work[Created]:
    job = new_job(submission)
    if submission.max_jobs is not None:
        yield from _hold_to_limit(job, submission.max_jobs)
    row = yield from ask_one(_INSERT, **columns(job))
    if row is None:
        holder = yield from find(job.tenant, job.job_id)
        assert holder is not None  # noqa: S101 - the conflict was with this row
        return Created(job=holder, created=False)
    _add_metadata(tx, int(row[0]), job)
    log.append(tx, job, 1, submission.events, submission.deliveries)
    sealed.write(tx, job.uid, submission.sealed)
    audit.note(tx, happenings.submitted(job), submission.caller)
    tx.touched.add(job.uid)
    return Created(job=job, created=True)


def unfinished(tenant: str) -> Work[int]:
    rows = yield from ask(_UNFINISHED, tenant=tenant)
    return int(rows[0][0])


def _hold_to_limit(job: JobRecord, most: int) -> Work[None]:
    """One create at a time, so that two can't both be the last one. A job that is there already passes."""
    yield from ask(ONE_AT_A_TIME)
    if (yield from find(job.tenant, job.job_id)) is None:
        count = yield from unfinished(job.tenant)
        if count >= most:
            raise TunegateError(
                "too_many_jobs", f"The tenant may have {most} unfinished jobs and has {count}."
            )


def columns(job: JobRecord) -> dict[str, Any]:
    """The values of a new row."""
    return {
        "uid": job.uid,
        "tenant": job.tenant,
        "job_id": job.job_id,
        "backend": job.backend,
        "launcher": job.launcher,
        "state": job.state.value,
        "created_ms": job.created_ms,
        "queued": int(job.is_queued),
        "gpus": job.gpus,
        "gpu_limit": job.gpu_limit,
        "due_ms": job.due_ms,
        "record": encode(job),
    }


def find(tenant: str, job_id: str) -> Work[JobRecord | None]:
    row = yield from ask_one(_FIND, tenant=tenant, job_id=job_id)
    return job_from(row) if row else None


def find_by_uid(uid: str) -> Work[JobRecord | None]:
    row = yield from ask_one(_FIND_BY_UID, uid=uid)
    return job_from(row) if row else None


def lock(uid: str) -> Work[JobRecord | None]:
    """The job, held to the end of the transaction: all that writes to a job's rows holds it first."""
    row = yield from ask_one(f"{_FIND_BY_UID} FOR UPDATE", uid=uid)
    return job_from(row) if row else None


def page(
    tenant: str, wanted: JobFilter, after: str | None, limit: int
) -> Work[tuple[list[JobRecord], bool]]:
    """Newest first. Raises `invalid_parameter` when `after` names no job of the tenant."""
    clauses = ["tenant = :tenant"]
    values: dict[str, Any] = {"tenant": tenant, "limit": limit + 1}
    if after is not None:
        clauses.append("number < :before")
        values["before"] = yield from _number(tenant, after)
    if wanted.status is not None:
        clauses.append("state IN :states")
        values["states"] = [str(s) for s, status in PUBLIC.items() if status == wanted.status]
    for clause, value in _compared(wanted):
        if value is not None:
            name = clause.partition(":")[2]
            clauses.append(clause)
            values[name] = value
    if wanted.search is not None:
        clauses.append(_HOLDS)
        values["part"] = f"%{_LIKE.sub(_escaped, wanted.search)}%"
    for index, (key, value) in enumerate(wanted.metadata.items()):
        clauses.append(
            "number IN (SELECT number FROM job_metadata "  # noqa: S608 - constants and numbers
            f"WHERE tenant = :tenant AND key = :key{index} AND value = :value{index})"
        )
        values |= {f"key{index}": key, f"value{index}": value}
    sql = (
        f"SELECT {JOB_COLUMNS} FROM job WHERE {' AND '.join(clauses)} "  # noqa: S608 - constants, values are bound
        "ORDER BY number DESC LIMIT :limit"
    )
    rows = yield from ask(sql, **values)
    return [job_from(row) for row in rows[:limit]], len(rows) > limit


def _compared(wanted: JobFilter) -> tuple[tuple[str, Any], ...]:
    return (
        ("backend = :backend", wanted.backend),
        ("launcher = :launcher", wanted.launcher),
        ("created_ms >= :since", wanted.since_ms),
        ("created_ms < :until", wanted.until_ms),
    )


def _escaped(found: re.Match[str]) -> str:
    return "\\" + found[0]


def forget(tx: Transaction, tenant: str, job_id: str) -> Work[bool]:
    """Remove a final job; every other table follows through its foreign key."""
    row = yield from ask_one(f"{_FIND} FOR UPDATE", tenant=tenant, job_id=job_id)
    job = job_from(row) if row else None
    if job is None or job.state not in FINAL:
        return False
    tx.write("DELETE FROM job WHERE uid = :uid", uid=job.uid)
    audit.note(tx, happenings.of_job(job, "job.forgotten"))
    tx.touched.add(job.uid)
    return True


def rewrite_metadata(tx: Transaction, number: int, job: JobRecord) -> None:
    """Make the pairs of this job the ones that lists filter by."""
    tx.write("DELETE FROM job_metadata WHERE number = :number", number=number)
    _add_metadata(tx, number, job)


def _add_metadata(tx: Transaction, number: int, job: JobRecord) -> None:
    for key, value in job.metadata.items():
        tx.write(_ADD_PAIR, tenant=job.tenant, key=key, value=value, number=number)


def _number(tenant: str, job_id: str) -> Work[int]:
    sql = "SELECT number FROM job WHERE tenant = :tenant AND job_id = :job_id"
    row = yield from ask_one(sql, tenant=tenant, job_id=job_id)
    if row is None:
        raise TunegateError("invalid_parameter", "`after` names no job.")
    return int(row[0])
