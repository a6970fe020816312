"""Records as clients see them."""

from urllib.parse import quote

from tunegate.contract.job import Job
from tunegate.control.records import JobRecord
from tunegate.control.timestamps import rfc3339


def job_view(record: JobRecord, jobs_url: str | None, *, detail: str | None = None) -> Job:
    """The job; `detail` replaces the record's own where an answer has something to say."""
    url = jobs_url and jobs_url + quote(record.job_id)
    return Job(
        job_id=record.job_id,
        backend_job_id=record.backend_job_id,
        backend=record.backend,
        launcher=record.launcher,
        status=record.status,
        phase=record.phase,
        detail=detail or record.detail,
        dashboard_url=url,
        created_at=rfc3339(record.created_ms),
        updated_at=rfc3339(record.updated_ms),
        progress=record.progress,
        error=record.error,
        output_uri=record.output_uri,
        log_uri=record.log_uri,
        ignored=record.ignored,
        notes=record.notes,
        metadata=record.metadata,
        attempt=record.attempt,
        queue_reason=record.queue_reason,
    )
