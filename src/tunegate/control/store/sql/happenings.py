"""What the audit log says of a change to the store. Pure; names and numbers only, no text that a client chose."""

from collections.abc import Sequence

from tunegate.contract.audit import Value
from tunegate.control.audit import Happening
from tunegate.control.records import FINAL, AttemptRecord, JobRecord
from tunegate.control.store.protocol import Change
from tunegate.control.tokens import TokenRecord


def of_job(job: JobRecord, kind: str, **data: Value) -> Happening:
    return Happening(kind=kind, tenant=job.tenant, job=job.job_id, uid=job.uid, data=data)


def submitted(job: JobRecord) -> Happening:
    return of_job(job, "job.submitted", backend=job.backend, launcher=job.launcher)


def of_change(
    old: JobRecord, job: JobRecord, change: Change, destroyed: Sequence[str]
) -> list[Happening]:
    """In the order in which they happened: what was asked for, the new state, the end of secrets."""
    told: list[Happening] = []
    if job.desired == "stop" and old.desired == "run":
        told.append(of_job(job, "job.stop_asked", reason=job.stop_reason or "cancel"))
    if job.state is not old.state:
        told.append(_new_state(old, job))
    told += secrets_destroyed(job, destroyed)
    if change.sealed and job.state is old.state:
        told.append(of_job(job, "secrets.replaced", fields=", ".join(sorted(change.sealed))))
    return told


def _new_state(old: JobRecord, job: JobRecord) -> Happening:
    data: dict[str, Value] = {"before": old.state.value, "attempt": job.attempt}
    if old.state in FINAL:
        return of_job(job, "job.retried", launcher=job.launcher, **data)
    if job.error is not None and job.state in FINAL:
        data["code"] = job.error.code
    return of_job(job, f"job.{job.state.value}", launcher=job.launcher, **data)


def secrets_destroyed(job: JobRecord, fields: Sequence[str]) -> list[Happening]:
    return [of_job(job, "secrets.destroyed", fields=", ".join(fields))] if fields else []


def claimed(job: JobRecord, attempt: AttemptRecord) -> Happening:
    return of_job(job, "attempt.claimed", attempt=attempt.number, fence=attempt.fence)


def replayed(uid: str, tenant: str, job_id: str, count: int) -> Happening:
    return Happening(
        kind="webhooks.replayed", tenant=tenant, job=job_id, uid=uid, data={"count": count}
    )


def of_token(record: TokenRecord, kind: str) -> Happening:
    rights = [name for name in ("admin", "read_only") if getattr(record.principal, name)]
    data: dict[str, Value] = {"token": record.token_id, "rights": ", ".join(rights)}
    if record.expires_ms is not None:
        data["expires_ms"] = record.expires_ms
    return Happening(kind=kind, tenant=record.principal.name, data=data)
