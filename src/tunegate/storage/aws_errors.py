"""botocore's errors in the words of the storage interface; what the server wrote never gets into a message."""

import re
from collections.abc import Generator
from contextlib import contextmanager

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    CredentialRetrievalError,
    EndpointConnectionError,
    FlexibleChecksumError,
    NoCredentialsError,
    ParamValidationError,
    PartialCredentialsError,
    ReadTimeoutError,
    SSLError,
)
from botocore.parsers import ResponseParserError

from tunegate.egress import EgressRefused
from tunegate.sdk.storage import (
    AccessDenied,
    AlreadyExists,
    NotAllowed,
    ObjectNotFound,
    StorageError,
    StoreUnavailable,
    Unsupported,
)
from tunegate.storage.addresses import shown

_NOT_FOUND = frozenset({"NoSuchKey", "NoSuchBucket", "NotFound", "NoSuchVersion"})
_BAD_CREDENTIALS = frozenset({
    "AccessDenied", "AuthorizationHeaderMalformed", "ExpiredToken", "ExpiredTokenException", "InvalidAccessKeyId",
    "InvalidClientTokenId", "InvalidToken", "SignatureDoesNotMatch", "TokenRefreshRequired",
})  # fmt: skip
_RETRY = frozenset({"SlowDown", "RequestTimeout", "Throttling", "ThrottlingException"})


@contextmanager
def s3_errors(uri: str) -> Generator[None, None, None]:
    """Raise what goes wrong in the block as StorageError that names `uri`."""
    place = shown(uri)
    try:
        yield
    except StorageError:
        raise
    except EgressRefused as error:
        raise NotAllowed(f"{place}: {error}") from None
    except ClientError as error:
        raise _from_answer(place, error) from None
    except (NoCredentialsError, PartialCredentialsError, CredentialRetrievalError):
        raise AccessDenied(f"{place}: this machine has no usable AWS credentials") from None
    except (ParamValidationError, ValueError):
        raise Unsupported(f"{place} is not an address that S3 takes") from None
    except BotoCoreError as error:
        raise StoreUnavailable(f"{place}: {_reason(error)}") from None
    except ResponseParserError:
        raise StoreUnavailable(f"{place}: the store's answer can't be read") from None
    except (OSError, TimeoutError):
        raise StoreUnavailable(f"{place}: the connection broke off") from None


def status_of(error: ClientError) -> int:
    """The HTTP status of a refused request."""
    return error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)


def code_of(error: ClientError) -> str:
    """The error code of a refused request, as far as it looks like one."""
    return re.sub(r"[^A-Za-z0-9.]", "", error.response.get("Error", {}).get("Code", ""))[:64]


def _from_answer(place: str, error: ClientError) -> StorageError:
    status, code = status_of(error), code_of(error)
    detail = f"({code}, HTTP {status})"
    if error.operation_name == "AssumeRole" and status < 500:
        return AccessDenied(f"{place}: the role could not be assumed {detail}")
    if status == 404 or code in _NOT_FOUND:
        return ObjectNotFound(f"{place} does not exist {detail}")
    if status in {401, 403} or code in _BAD_CREDENTIALS:
        return AccessDenied(f"{place}: the credentials do not allow this {detail}")
    if status == 412:
        return AlreadyExists(f"{place} exists already {detail}")
    if status in {409, 429} or status >= 500 or code in _RETRY:
        return StoreUnavailable(f"{place}: the store can't answer now {detail}")
    return StorageError(f"{place}: the store refused the request {detail}")


def _reason(error: BotoCoreError) -> str:
    if isinstance(error, (ConnectTimeoutError, ReadTimeoutError)):
        return "the store did not answer in time"
    if isinstance(error, SSLError):
        return "the TLS handshake or the certificate failed"
    if isinstance(error, EndpointConnectionError):
        return "the store can't be reached"
    if isinstance(error, FlexibleChecksumError):
        return "the bytes do not fit their checksum"
    return "the connection broke off"
