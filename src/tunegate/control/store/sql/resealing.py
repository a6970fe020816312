"""Sealed fields looked through and replaced when the keys that wrap them change."""

from collections.abc import Mapping

from tunegate.control.store.protocol import SealedRow
from tunegate.control.store.sql import audit, happenings, jobs, sealed
from tunegate.control.store.sql.statement import Transaction, Work, ask

_LIST = """
SELECT sealed.uid, job.tenant, sealed.field, sealed.body FROM sealed JOIN job ON job.uid = sealed.uid
WHERE (sealed.field = :field OR substr(sealed.body, 1, 1) <> :format)
    AND (sealed.uid > :uid OR (sealed.uid = :uid AND sealed.field > :after))
ORDER BY sealed.uid, sealed.field LIMIT :limit
"""


def list_rows(
    field: str, format_byte: bytes, after: tuple[str, str], limit: int
) -> Work[list[SealedRow]]:
    rows = yield from ask(
        _LIST, field=field, format=format_byte, uid=after[0], after=after[1], limit=limit
    )
    return [SealedRow(uid=row[0], tenant=row[1], field=row[2], body=row[3]) for row in rows]


def replace(
    tx: Transaction, uid: str, old: Mapping[str, bytes], new: Mapping[str, bytes]
) -> Work[bool]:
    """The job's row is locked first, as in every change of it."""
    job = yield from jobs.lock(uid)
    if job is None:
        return False
    for field, body in old.items():
        if (yield from sealed.read(uid, field)) != body:
            return False
    sealed.write(tx, uid, new)
    audit.note(tx, happenings.of_job(job, "secrets.rewrapped"))
    return True
