"""Addresses of requests: the job's own folder, what of an address is public, what may hold a credential."""

import re

_SCHEME = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*)://")
_WITH_QUERY = frozenset({"http", "https", "ws", "wss"})
_USUAL = frozenset({"s3", "https", "http", "file", "wss", "ws"})
_AUTHORITY_END = re.compile(r"[/?#]")
HIDDEN = "***"


def scheme_of(uri: str) -> str:
    """The scheme in lower case, or an empty string for a plain path or hub id."""
    end = uri.find("://")
    if end <= 0:
        return ""
    head = uri[:end]
    if head in _USUAL:
        return head
    found = _SCHEME.match(uri)
    return found[1].lower() if found else ""


def path_of(uri: str) -> str:
    """What comes after scheme and authority, without a query: `/a/b` of `https://host/a/b?c`."""
    rest = _SCHEME.sub("", without_query(uri))
    return rest[len(rest.partition("/")[0]) :] if scheme_of(uri) else rest


def job_folder(uri: str, job_id: str) -> str:
    """The job's own folder below `uri`, with one slash at the end.

    It is `<uri>/<job_id>/`, or `uri` itself where its last path segment is the job id already.
    """
    base = uri.rstrip("/")
    last = path_of(base).rpartition("/")[2]
    return f"{base}/" if last == job_id else f"{base}/{job_id}/"


def _cut(uri: str) -> tuple[str, str]:
    """The address before its query or fragment, and the query. Keys of S3 and files may hold a `?`: they have none."""
    if scheme_of(uri) not in _WITH_QUERY:
        return uri, ""
    address, _, _fragment = uri.partition("#")
    address, _, query = address.partition("?")
    return address, query


def without_query(uri: str) -> str:
    """The address without query and fragment (a presigned link's query is a credential)."""
    return _cut(uri)[0]


def query_of(uri: str) -> str | None:
    """The query of an http(s) or ws(s) address, without the `?`; None when there is none."""
    return _cut(uri)[1] or None


def has_credentials(uri: str) -> bool:
    """Whether the authority holds a user name or password (`https://user:pass@host/`)."""
    return "@" in uri and bool(scheme_of(uri)) and "@" in _authority(uri)


def _authority(uri: str) -> str:
    return _AUTHORITY_END.split(_SCHEME.sub("", uri), maxsplit=1)[0]


def public_address(uri: str) -> str:
    """The address with its query gone and a user name or password hidden."""
    address = without_query(uri)
    if not has_credentials(address):
        return address
    authority, slash, path = _SCHEME.sub("", address).partition("/")
    return f"{scheme_of(uri)}://{HIDDEN}@{authority.rpartition('@')[2]}{slash}{path}"


def public_origin(uri: str) -> str:
    """`scheme://host/***`: the path of a webhook may be a credential of its own."""
    authority = _authority(uri).rpartition("@")[2]
    return f"{scheme_of(uri)}://{authority}/{HIDDEN}" if scheme_of(uri) else HIDDEN
