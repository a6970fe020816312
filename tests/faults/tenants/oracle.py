"""Who may see and touch what, said once more and apart from the product: from docs/API_SPEC.md and the contract of HTTP."""

import posixpath
import re
import unicodedata
from collections.abc import Iterator, Sequence
from urllib.parse import unquote

_PORTS = {"https": "443", "http": "80", "s3": ""}


def readings(uri: str) -> Iterator[tuple[str, str, str]]:
    """Every place (scheme, authority, path) that some client, server or store may take the address for."""
    head, found, rest = uri.partition("://")
    if not found:
        head, rest = "file", uri
    scheme = head.lower()
    cut = re.split(r"[?#]", rest, maxsplit=1)[0] if scheme in {"https", "http"} else rest
    authority, _, path = cut.partition("/")
    place = _authority(scheme, authority)
    seen = {path}
    todo = [path]
    while todo:
        at = todo.pop()
        yield scheme, place, at
        for other in (
            unquote(at),
            at.replace("\\", "/"),
            unicodedata.normalize("NFKC", at),
            posixpath.normpath(f"/{at}").lstrip("/"),
            re.sub(r"[\t\r\n\0]", "", at),
        ):
            if other not in seen:
                seen.add(other)
                todo.append(other)


def _authority(scheme: str, authority: str) -> str:
    host = authority.rpartition("@")[2]
    if scheme == "s3":
        return host
    name, _, port = host.partition(":")
    name = unicodedata.normalize("NFKC", name).lower().rstrip(".")
    return f"{name}:{port or _PORTS.get(scheme, '')}"


def is_inside(uri: str, prefixes: Sequence[str] | None) -> bool:
    """Whether the address lies below one of the prefixes, whoever reads it."""
    if prefixes is None:
        return True
    return any(all(_below(place, _plain(prefix)) for place in readings(uri)) for prefix in prefixes)


def _plain(prefix: str) -> tuple[str, str, str]:
    """A prefix as the operator wrote it: those of this campaign have no tricks."""
    return next(readings(prefix))


def _below(place: tuple[str, str, str], prefix: tuple[str, str, str]) -> bool:
    folder = prefix[2].rstrip("/")
    return place[:2] == prefix[:2] and (
        not folder or place[2].rstrip("/") == folder or place[2].startswith(f"{folder}/")
    )


def foreign_marks(answer: bytes, own: str, marks: Sequence[str]) -> list[str]:
    """Words that only other tenants ever said."""
    return [mark for mark in marks if mark != own and mark.encode() in answer]
