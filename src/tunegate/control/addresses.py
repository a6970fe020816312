"""The addresses of a request held against the schemes that fit, the operator's rules and the token's limits. Pure.

Messages never quote an address: its query may be a credential.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from unicodedata import normalize
from urllib.parse import unquote, urlsplit

from tunegate.contract.problems import Problem
from tunegate.contract.request import TrainRequest
from tunegate.contract.training import StoragePolicy
from tunegate.sdk.addresses import has_credentials, scheme_of, without_query

CheckUrl = Callable[[str], str | None]
"""One sentence when the egress rules forbid an http(s) or ws(s) address, else None. Looks at the text alone."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_DIALLED = frozenset({"http", "https", "ws", "wss"})
_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}
_FILES = ("s3", "file")
_SOURCES = ("s3", "https", "file")
_HOOKS = ("https", "http")
_STREAMS = ("https", "http", "wss", "ws")

Place = tuple[str, str, tuple[str, ...]]
"""Scheme, authority and path segments: what prefixes are compared by."""


@dataclass(frozen=True, slots=True)
class AddressRules:
    """What the operator and the token allow. `prefixes` None = anywhere."""

    storage: StoragePolicy
    prefixes: Sequence[str] | None
    check_url: CheckUrl


@dataclass(frozen=True, slots=True)
class _Address:
    path: str
    uri: str
    schemes: tuple[str, ...]
    stores: bool = True
    """Data, weights and results, which prefixes and file roots bind; callbacks are not such."""


class _Bad(Exception):
    """`code` and the sentence of a Problem."""

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        self.message = message
        super().__init__(message)


def address_problems(request: TrainRequest, rules: AddressRules) -> list[Problem]:
    """Every address that can't be used, with the reason."""
    return [
        problem
        for address in _addresses(request, rules.storage)
        if (problem := _problem(address, rules)) is not None
    ]


def webhook_problem(path: str, url: str, rules: AddressRules) -> Problem | None:
    """Why webhooks can't be sent there; `path` is that of the field it stands in."""
    return _problem(_Address(path, url, _HOOKS, stores=False), rules)


def _problem(address: _Address, rules: AddressRules) -> Problem | None:
    try:
        _check(address, rules)
    except _Bad as bad:
        return Problem(path=address.path, code=bad.code, message=bad.message)
    return None


def place_of(uri: str) -> Place:
    """The canonical place of an address or absolute path. Raises ValueError when it has none.

    In files a doubled slash is one; in keys of object stores and URLs it names another place.
    """
    scheme = scheme_of(uri)
    if not scheme:
        return "file", "", _without_empty(_segments(uri))
    authority, _, path = uri.partition("://")[2].partition("/")
    if scheme == "file":
        host = "" if authority == "localhost" else authority
        return scheme, host, _without_empty(_segments(path))
    if scheme == "s3":
        return scheme, authority, _segments(path)
    parts = urlsplit(uri)
    host = (parts.hostname or "").rstrip(".")
    return scheme, f"{host}:{parts.port or _PORTS.get(scheme)}", _segments(path)


def lies_below(place: Place, prefix: Place) -> bool:
    """Whole segments count: `a/bc` does not lie below `a/b`."""
    return place[:2] == prefix[:2] and place[2][: len(prefix[2])] == prefix[2]


def _segments(path: str) -> tuple[str, ...]:
    segments = tuple(path.rstrip("/").split("/")) if path.strip("/") else ()
    if any(_decoded(part) in {".", ".."} for part in segments):
        raise ValueError("An address must not hold `.` or `..` segments.")
    return segments


def _without_empty(segments: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(segment for segment in segments if segment)


def _decoded(segment: str) -> str:
    """Percent-decoded until nothing changes, so that `%252e` hides nothing; a decoded slash counts too, and so do
    characters that some server may take for dots and slashes. Control characters are what some leave out or end at.
    """
    if segment.isascii() and "%" not in segment and "\\" not in segment:
        return segment
    while (plain := normalize("NFKC", unquote(segment))) != segment:
        segment = plain
    parts = re.split(r"[/\\]", _CONTROL.sub("", segment))
    return next((part for part in parts if part in {".", ".."}), segment)


def _addresses(request: TrainRequest, storage: StoragePolicy) -> Iterator[_Address]:
    sources = (*_SOURCES, "http") if storage.allow_http else _SOURCES
    model, artifacts, callbacks = request.base_model, request.artifacts, request.callbacks
    if _names_a_place(model.model_name) or model.provider == "custom":
        yield _Address("$.base_model.model_name", model.model_name, _FILES)
    if model.weights_url is not None:
        yield _Address("$.base_model.weights_url", model.weights_url, sources)
    for index, dataset in enumerate(request.datasets):
        if dataset.format != "hf" or _names_a_place(dataset.source):
            yield _Address(f"$.datasets[{index}].source", dataset.source, sources)
    yield _Address("$.artifacts.output_uri", artifacts.output_uri, _FILES)
    if artifacts.log_uri is not None:
        yield _Address("$.artifacts.log_uri", artifacts.log_uri, _FILES)
    if artifacts.status_stream_url is not None:
        yield _Address(
            "$.artifacts.status_stream_url", artifacts.status_stream_url, _STREAMS, stores=False
        )
    if callbacks is not None and callbacks.webhook_url is not None:
        yield _Address("$.callbacks.webhook_url", callbacks.webhook_url, _HOOKS, stores=False)


def _names_a_place(name: str) -> bool:
    return bool(scheme_of(name)) or name.startswith(("/", "./", "../", "~"))


def _check(address: _Address, rules: AddressRules) -> None:
    scheme = scheme_of(address.uri)
    _check_form(address, scheme)
    try:
        place = place_of(without_query(address.uri))
    except ValueError as error:
        reason = str(error) if "segments" in str(error) else "The address can't be read as a URI."
        raise _Bad("invalid_format", reason) from error
    if scheme not in {"", "file"} and place[1].partition(":")[0] == "":
        what = "bucket" if scheme == "s3" else "host"
        raise _Bad("invalid_format", f"The address names no {what}.")
    if scheme in _DIALLED and (sentence := rules.check_url(address.uri)) is not None:
        raise _Bad("not_allowed", sentence)
    if address.stores:
        _check_limits(place, rules)


def _check_form(address: _Address, scheme: str) -> None:
    if _CONTROL.search(address.uri):
        raise _Bad("invalid_format", "The address holds a control character.")
    if has_credentials(address.uri):
        raise _Bad("credentials_in_address", "The address holds a user name or password.")
    if not scheme and not address.stores:
        raise _Bad("invalid_format", f"Give a full address ({_list(address.schemes)}).")
    if not scheme and not address.uri.startswith("/"):
        raise _Bad(
            "invalid_format", f"Give an absolute path or a full address ({_list(address.schemes)})."
        )
    if scheme and scheme not in address.schemes:
        raise _Bad("not_supported", f"The address must begin with {_list(address.schemes)}.")


def _check_limits(place: Place, rules: AddressRules) -> None:
    if place[0] == "file":
        if place[1]:
            raise _Bad("not_supported", "A file:// address must not name another host.")
        roots = [str(Path(root).absolute()) for root in rules.storage.file_roots]
        if not _below_any(place, roots):
            raise _Bad("not_allowed", "Files are allowed below storage.file_roots only.")
    if rules.prefixes is not None and not _below_any(place, rules.prefixes):
        raise _Bad("not_allowed", "The address lies outside the prefixes that the token allows.")


def _below_any(place: Place, prefixes: Sequence[str]) -> bool:
    """A prefix that names no place allows nothing."""
    for prefix in prefixes:
        with suppress(ValueError):
            if lies_below(place, place_of(prefix)):
                return True
    return False


def _list(schemes: tuple[str, ...]) -> str:
    return ", ".join(f"{scheme}://" for scheme in schemes)
