"""What the head of a request may say: one meaning only, whoever reads it on the way."""

import re
from collections.abc import Mapping
from typing import cast

from litestar.types import HTTPScope

from tunegate.sdk.errors import TunegateError

_VERSIONS = frozenset({"1.0", "1.1", "2"})
_ONCE = frozenset(
    {
        b"authorization", b"content-length", b"content-type", b"host", b"last-event-id", b"origin", b"sec-fetch-site",
        b"transfer-encoding", b"x-trainer-token",
    }
)  # fmt: skip
"""Two of these, and a proxy may have gone by the other one."""
_PATH = re.compile(rb"(?:/[A-Za-z0-9_][A-Za-z0-9._~-]*)*/?")
"""No escapes, empty or dot segments: names of ours need none, and rules of a proxy for `/internal/` hold."""


def check_head(scope: HTTPScope, headers: Mapping[bytes, bytes]) -> None:
    """Raises `bad_http` for what could be read in two ways, and `not_found` for paths that can't be ours."""
    given = cast("list[tuple[bytes, bytes]]", scope["headers"])
    coding = headers.get(b"transfer-encoding")
    version = scope["http_version"]
    if (
        version not in _VERSIONS
        or (coding is not None and (version != "1.1" or coding.lower() != b"chunked"))
        or (len(headers) != len(given) and _stands_twice(given))
    ):
        raise TunegateError("bad_http")
    if _PATH.fullmatch(scope["raw_path"].partition(b"?")[0]) is None:
        raise TunegateError("not_found")


def _stands_twice(given: list[tuple[bytes, bytes]]) -> bool:
    names = [name for name, _ in given if name in _ONCE]
    return len(names) != len(set(names))
