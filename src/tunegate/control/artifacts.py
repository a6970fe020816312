"""The files of a job's result, as its verified manifest lists them."""

from collections.abc import Sequence

import msgspec

from tunegate.contract.attempt import ManifestFile
from tunegate.contract.job import FileList, StoredFile
from tunegate.control.context import ControlContext
from tunegate.control.reading import every_event
from tunegate.control.records import RESULT_FILES, JobRecord, JobState
from tunegate.control.sealed import open_request
from tunegate.sdk.storage import ObjectStore, StorageError


async def artifacts(context: ControlContext, job: JobRecord) -> FileList:
    """The result's files; none before the job has succeeded. Links where the store gives them to this gateway."""
    files = await _listed_at_success(context, job)
    links = await _links(context, job, [job.output_uri + file.path for file in files])
    return FileList(
        data=[
            StoredFile(
                path=file.path,
                uri=job.output_uri + file.path,
                size_bytes=file.size_bytes,
                sha256=file.sha256 or None,
                url=link,
            )
            for file, link in zip(files, links, strict=True)
        ],
        complete=job.state is JobState.SUCCEEDED,
    )


async def _listed_at_success(context: ControlContext, job: JobRecord) -> list[ManifestFile]:
    """From the event log, so that it works when the job's credentials are long destroyed."""
    if job.state is not JobState.SUCCEEDED:
        return []
    listed: list[ManifestFile] = []
    async for event in every_event(context, job, "job.status"):
        if event.status == "succeeded":
            listed = msgspec.convert(event.data.get(RESULT_FILES, []), list[ManifestFile])
    return listed


async def open_output(context: ControlContext, job: JobRecord) -> ObjectStore:
    """The store of the job's output, with the job's own credentials while they are there."""
    request = await open_request(context.store, context.sealer, job)
    auth = request.artifacts.auth if request is not None else None
    return context.open_store(job.output_uri, context.storage, auth)


async def _links(
    context: ControlContext, job: JobRecord, uris: Sequence[str]
) -> Sequence[str | None]:
    """Presigned links where the job's credentials (or the gateway's own) still allow them."""
    if not uris:
        return []
    try:
        async with await open_output(context, job) as store:
            return [await store.presign(uri) for uri in uris]
    except StorageError:
        return [None] * len(uris)
