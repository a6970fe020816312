"""From exceptions to codes of the catalogue."""

import errno
from collections.abc import Generator
from contextlib import contextmanager

from tunegate.sdk.errors import TunegateError
from tunegate.sdk.storage import (
    AccessDenied,
    NotAllowed,
    ObjectNotFound,
    StorageError,
    StoreUnavailable,
    Unsupported,
)

_REFUSED = (
    "can't allocate memory", "Cannot allocate memory", "out of memory", "bad_alloc", "can't start new thread",
)  # fmt: skip


@contextmanager
def model_storage_errors(address: str) -> Generator[None]:
    """Trouble while base weights are read. `address` holds no query."""
    try:
        yield
    except ObjectNotFound as error:
        raise TunegateError("model_not_found", f"Nothing is at {address}.") from error
    except NotAllowed as error:
        sentence = f"The operator does not allow to read {address}."
        raise TunegateError("model_access_denied", sentence) from error
    except AccessDenied as error:
        sentence = f"The credentials do not allow to read {address}."
        raise TunegateError("model_access_denied", sentence) from error
    except StoreUnavailable as error:
        raise TunegateError("storage_unavailable", f"No answer from {address}.") from error
    except Unsupported as error:
        raise TunegateError("model_not_found", f"Can't read {address}: {error}.") from error
    except StorageError as error:
        raise TunegateError("storage_unavailable", f"Can't read {address}: {error}.") from error


@contextmanager
def output_storage_errors(address: str) -> Generator[None]:
    """Trouble while results are written."""
    try:
        yield
    except ObjectNotFound as error:
        raise TunegateError(
            "output_not_writable", f"The bucket or folder of {address} is not there."
        ) from error
    except NotAllowed as error:
        raise TunegateError(
            "output_not_writable", f"The operator does not allow to write to {address}."
        ) from error
    except AccessDenied as error:
        raise TunegateError(
            "output_not_writable", f"The credentials do not allow to write to {address}."
        ) from error
    except StoreUnavailable as error:
        raise TunegateError("storage_unavailable", f"No answer from {address}.") from error
    except StorageError as error:
        raise TunegateError("output_not_writable", f"Can't write to {address}: {error}.") from error


def as_failure(error: Exception) -> TunegateError:
    """The catalogue's view of any exception; what is not known is the trainer's own fault."""
    if isinstance(error, TunegateError):
        return error
    if is_out_of_memory(error):
        return TunegateError("out_of_memory", "The memory of this machine did not suffice.")
    return TunegateError("trainer_crashed", f"The trainer broke with {type(error).__name__}.")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether it says that memory was refused, on a GPU or by the allocator of the CPU."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in _REFUSED)
