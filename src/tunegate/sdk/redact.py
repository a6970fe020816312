"""The request as it may be stored and shown: every secret replaced, nothing else changed."""

import re
from typing import Any, cast

import msgspec

from tunegate.contract.request import TrainRequest
from tunegate.contract.secret import REDACTED, redact_hook
from tunegate.sdk.addresses import public_address, public_origin, scheme_of

_MODEL, _FOLDERS = ("model_name", "weights_url"), ("output_uri", "log_uri")
_encode = msgspec.json.Encoder(order="sorted").encode
_SECRET_KEY = re.compile(r"token|secret|password|key|auth|credential", re.IGNORECASE)


def redacted_request(request: TrainRequest) -> bytes:
    """Canonical JSON (sorted keys, no nulls) with `***` for secrets, no queries, and webhook paths hidden."""
    plain: dict[str, Any] = msgspec.to_builtins(request, enc_hook=redact_hook)
    _hide_in_addresses(plain)
    plain["extra_parameters"] = redacted_open(plain["extra_parameters"])
    return _encode(_without_nulls(plain))


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


def _hide_in_addresses(plain: dict[str, Any]) -> None:
    model, artifacts, callbacks = plain["base_model"], plain["artifacts"], plain["callbacks"]
    for holder, fields in ((model, _MODEL), (artifacts, _FOLDERS)):
        for field in fields:
            if (address := holder[field]) is not None:
                holder[field] = public_address(address)
    for dataset in plain["datasets"]:
        dataset["source"] = public_address(dataset["source"])
    for holder, field in ((artifacts, "status_stream_url"), (callbacks, "webhook_url")):
        if holder is not None and holder[field] is not None:
            holder[field] = public_origin(holder[field])


def _without_nulls(value: dict[str, Any]) -> dict[str, Any]:
    return {
        key: _without_nulls(item)
        if type(item) is dict
        else [_in_list(entry) for entry in item]
        if type(item) is list
        else item
        for key, item in value.items()
        if item is not None
    }


def _in_list(entry: Any) -> Any:
    """Nulls in lists are values."""
    if type(entry) is dict:
        return _without_nulls(cast("dict[str, Any]", entry))
    if type(entry) is list:
        return [_in_list(inner) for inner in cast("list[Any]", entry)]
    return entry
