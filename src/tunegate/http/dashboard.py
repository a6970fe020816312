"""The files of the dashboard, read once. Their addresses bear a digest of them all, so that they never change."""

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

_PAGE = "index.html"
_RELEASE = b"{{release}}"
_OPEN = b"{{open}}"
_MODULES = b"{{modules}}"
"""Named in the page, so that a browser need not find them one behind the other."""
_TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
"""Said here, as what the machine's own table says differs from machine to machine."""


@dataclass(frozen=True, slots=True)
class Asset:
    """One file as it is sent."""

    content: bytes
    media_type: str
    etag: str


@dataclass(frozen=True, slots=True)
class Dashboard:
    """The page and what it loads. `release` stands in the addresses of `assets`."""

    release: str
    assets: dict[str, Asset]
    _page: bytes

    def page(self, *, is_open: bool) -> Asset:
        """The page itself; `is_open` tells it that the gateway asks for no token."""
        content = self._page.replace(_OPEN, b"yes" if is_open else b"no")
        return _asset(content, "text/html")


@cache
def read_dashboard() -> Dashboard:
    """From the package."""
    folder = files("tunegate.http").joinpath("ui")
    content = {
        file.name: file.read_bytes()
        for file in sorted(folder.iterdir(), key=lambda file: file.name)
        if file.is_file()
    }
    digest = hashlib.sha256()
    for name, body in content.items():
        digest.update(f"{name}\0{len(body)}\0".encode() + body)
    release = digest.hexdigest()[:16]
    modules = "\n".join(
        f'<link rel="modulepreload" href="ui/{release}/{name}">'
        for name in content
        if name.endswith(".js")
    )
    page = content.pop(_PAGE).replace(_MODULES, modules.encode())
    assets = {
        name: _asset(body, _TYPES[name[name.rindex(".") :]]) for name, body in content.items()
    }
    return Dashboard(release, assets, page.replace(_RELEASE, release.encode()))


def _asset(content: bytes, media_type: str) -> Asset:
    return Asset(content, media_type, f'"{hashlib.sha256(content).hexdigest()[:32]}"')
