"""`LogUploader`: the logs folder on its way to `log_uri`."""

import asyncio

from tunegate.sdk.storage import ObjectStore
from tunegate.trainer.logbook import Logbook
from tunegate.trainer.publish import upload_folder


class LogUploader:
    """Does nothing for a job without `log_uri`. A failed upload costs a line in the log, never the job."""

    def __init__(self, logbook: Logbook, store: ObjectStore | None, prefix: str | None) -> None:
        self._logbook = logbook
        self._store = store
        self._prefix = prefix
        self._lock = asyncio.Lock()

    async def upload(self) -> None:
        """Upload all logs as they stand."""
        if self._store is None or self._prefix is None:
            return
        async with self._lock:
            try:
                await asyncio.to_thread(self._logbook.write_scalars)
                files = self._logbook.files()
                await upload_folder(self._store, files, self._logbook.folder, self._prefix)
            except Exception as error:  # noqa: BLE001 (what fails is said; the job needs no logs to succeed)
                self._logbook.complain(f"the logs could not be uploaded ({type(error).__name__})")
