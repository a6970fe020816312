"""Sealed fields when keys change: found by their format, replaced only as they were."""

from msgspec.structs import replace

from support.job_samples import submission
from tunegate.control.store.protocol import JobStore, SealedRow, Submission

V2 = b"\x02"


class ResealingPromises:
    async def test_key_rows_and_rows_of_other_formats_are_listed(self, store: JobStore) -> None:
        rows: list[SealedRow] = []
        for number in range(3):
            fields = {"#key": V2 + b"k%d" % number, "request": V2 + b"r", "old": b"x\0%d" % number}
            sent = with_sealed(f"job-{number}", fields)
            job = (await store.create_job(sent)).job
            rows += [
                SealedRow(uid=job.uid, tenant=job.tenant, field=field, body=fields[field])
                for field in ("#key", "old")
            ]
        rows.sort(key=lambda row: (row.uid, row.field))
        found: list[SealedRow] = []
        after = ("", "")
        while page := await store.list_sealed("#key", V2, after, 2):
            assert len(page) <= 2
            found += page
            after = (page[-1].uid, page[-1].field)
        assert found == rows

    async def test_a_field_is_replaced_only_as_it_was(self, store: JobStore) -> None:
        job = (await store.create_job(with_sealed("job-1", {"a": b"1", "b": b"2"}))).job
        assert not await store.replace_sealed(job.uid, {"a": b"1", "b": b"3"}, {"a": b"9"})
        assert not await store.replace_sealed(job.uid, {"gone": b"1"}, {"a": b"9"})
        assert not await store.replace_sealed("nobody", {}, {"a": b"9"})
        assert await store.get_sealed(job.uid, "a") == b"1"
        assert await store.replace_sealed(job.uid, {"a": b"1", "b": b"2"}, {"a": b"9", "c": b"8"})
        assert await store.get_sealed(job.uid, "a") == b"9"
        assert await store.get_sealed(job.uid, "b") == b"2"
        assert await store.get_sealed(job.uid, "c") == b"8"
        assert await store.get_by_uid(job.uid) == job


def with_sealed(job_id: str, sealed: dict[str, bytes]) -> Submission:
    return replace(submission(job_id), sealed=sealed)
