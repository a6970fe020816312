"""Addresses of objects. Keys and paths are taken as they are written: no percent-decoding, anywhere."""

import re

from tunegate.sdk.storage import Unsupported

_SCHEME = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*)://")
_USER_INFO = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*://)[^/]*@")


def scheme_of(uri: str) -> str:
    """The scheme in lower case; plain paths count as `file`."""
    match = _SCHEME.match(uri)
    return match.group(1).lower() if match else "file"


def shown(uri: str) -> str:
    """The address as messages may show it: without query, fragment and user info."""
    return _USER_INFO.sub(r"\1", uri.partition("?")[0].partition("#")[0])


def split_s3(uri: str) -> tuple[str, str]:
    """Bucket and key of `s3://bucket/key`; the key may be empty. Raises Unsupported."""
    bucket, _, key = uri.partition("://")[2].partition("/")
    if scheme_of(uri) != "s3" or not re.fullmatch(r"[A-Za-z0-9._-]{3,255}", bucket):
        raise Unsupported(f"{shown(uri)} is not an address of the form s3://BUCKET/KEY")
    return bucket, key


def file_path(uri: str) -> str:
    """The path of a file:// address or of a plain path. Raises Unsupported for other machines."""
    if _SCHEME.match(uri) is None:
        return uri
    host, slash, rest = uri.partition("://")[2].partition("/")
    if scheme_of(uri) != "file" or host not in {"", "localhost"} or not slash:
        raise Unsupported(f"{shown(uri)} is not a path on this machine (file:///PATH)")
    return f"/{rest}"
