"""Whose trouble an error of AWS is: the engine's (ask again) or the request's (refused for good)."""

from collections.abc import Generator
from contextlib import contextmanager

from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from tunegate.egress import EgressError
from tunegate.sdk.launcher import EngineUnavailable, LaunchRefused
from tunegate.sdk.storage import StorageError
from tunegate.storage.aws_errors import code_of, status_of

_REFUSED = frozenset({"AccessDeniedException", "AccessDenied", "ResourceNotFound", "ValidationException"})  # fmt: skip
_TEXT_MAX = 300


class QuotaUsedUp(Exception):
    """The account may not have more instances of this kind just now."""


@contextmanager
def engine_trouble() -> Generator[None]:
    """Everything but an answer becomes EngineUnavailable; refusals of AWS stay ClientErrors for the caller to read."""
    try:
        yield
    except ClientError as error:
        if is_passing(error):
            raise EngineUnavailable(f"SageMaker does not answer now ({code_of(error)})") from None
        raise
    except StorageError as error:
        raise EngineUnavailable(str(error)) from None
    except EgressError as error:
        raise EngineUnavailable(str(error)) from None
    except (BotoCoreError, ResponseParserError, OSError, TimeoutError) as error:
        raise EngineUnavailable(f"SageMaker does not answer ({type(error).__name__})") from None


def is_passing(error: ClientError) -> bool:
    """Whether the same call may do later: 5xx, throttling, credentials of the gateway that are being renewed."""
    status, code = status_of(error), code_of(error)
    return status >= 500 or status in {408, 429} or "Throttl" in code or "Token" in code


def is_missing(error: ClientError) -> bool:
    """SageMaker says `Requested resource not found.` as a ValidationException."""
    return code_of(error).startswith("ResourceNotFound") or "not found" in text_of(error).lower()


def refusal(error: ClientError) -> Exception:
    """What a refused CreateTrainingJob means."""
    code, text = code_of(error), text_of(error)
    if code == "ResourceLimitExceeded":
        if "is 0 Instances" in text:  # the account was never given any
            return LaunchRefused(text)
        return QuotaUsedUp(text)
    if code in _REFUSED:
        return LaunchRefused(text)
    return EngineUnavailable(f"SageMaker refused ({code})")


def text_of(error: ClientError) -> str:
    """Amazon's own sentence, in one short line."""
    return " ".join(str(error.response.get("Error", {}).get("Message", "")).split())[:_TEXT_MAX]
