"""Storage trouble as failures of the job."""

from collections.abc import Generator
from contextlib import contextmanager

from tunegate.sdk.errors import TunegateError
from tunegate.sdk.storage import AccessDenied, NotAllowed, ObjectNotFound, StorageError, Unsupported


@contextmanager
def data_failures(source: str) -> Generator[None]:
    """Turn storage errors inside into TunegateErrors that name the data set (an address without its query)."""
    try:
        yield
    except ObjectNotFound as error:
        raise TunegateError("data_not_found", f"{source} is not there") from error
    except AccessDenied as error:
        raise TunegateError(
            "data_access_denied", f"{source} can't be read with the given credentials"
        ) from error
    except NotAllowed as error:
        raise TunegateError(
            "data_access_denied", f"the operator does not allow {source}: {error}"
        ) from error
    except Unsupported as error:
        raise TunegateError("data_not_found", f"{source} can't be read: {error}") from error
    except StorageError as error:
        raise TunegateError(
            "storage_unavailable", f"{source} could not be read: {error}"
        ) from error
