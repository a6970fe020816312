"""The request as it may be stored and shown: every secret replaced, nothing else changed."""

import re
from collections.abc import Callable
from typing import Any, cast

import msgspec

from tunegate.contract.request import TrainRequest
from tunegate.contract.secret import REDACTED, redact_hook
from tunegate.sdk.addresses import public_address, public_origin, scheme_of

_SECRET_KEY = re.compile(r"token|secret|password|key|auth|credential", re.IGNORECASE)


def redacted_request(request: TrainRequest) -> bytes:
    """Canonical JSON (sorted keys, no nulls) with `***` for secrets, no queries, and webhook paths hidden."""
    plain = msgspec.to_builtins(_with_public_addresses(request), enc_hook=redact_hook)
    plain["extra_parameters"] = redacted_open(plain["extra_parameters"])
    return msgspec.json.encode(_without_nulls(plain), order="sorted")


def redacted_open(value: Any) -> Any:
    """An open JSON value with what looks like a secret by its key replaced, and queries of addresses cut."""
    if isinstance(value, dict):
        items = cast("dict[str, Any]", value).items()
        return {
            key: REDACTED if _SECRET_KEY.search(key) else redacted_open(item) for key, item in items
        }
    if isinstance(value, list):
        return [redacted_open(item) for item in cast("list[Any]", value)]
    if isinstance(value, str) and scheme_of(value):
        return public_address(value)
    return value


def _with_public_addresses(request: TrainRequest) -> TrainRequest:
    replace = msgspec.structs.replace
    model, artifacts, callbacks = request.base_model, request.artifacts, request.callbacks
    return replace(
        request,
        base_model=replace(
            model,
            model_name=public_address(model.model_name),
            weights_url=_if_given(public_address, model.weights_url),
        ),
        datasets=[replace(d, source=public_address(d.source)) for d in request.datasets],
        artifacts=replace(
            artifacts,
            output_uri=public_address(artifacts.output_uri),
            log_uri=_if_given(public_address, artifacts.log_uri),
            status_stream_url=_if_given(public_origin, artifacts.status_stream_url),
        ),
        callbacks=callbacks
        and replace(callbacks, webhook_url=_if_given(public_origin, callbacks.webhook_url)),
    )


def _if_given(change: Callable[[str], str], value: str | None) -> str | None:
    return None if value is None else change(value)


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        items = cast("dict[str, Any]", value).items()
        return {key: _without_nulls(item) for key, item in items if item is not None}
    if isinstance(value, list):
        return [_without_nulls(item) for item in cast("list[Any]", value)]
    return value
