"""Which gateway, and with which token: arguments, then TUNEGATE_URL and TUNEGATE_TOKEN, then the file of `tunegate login`."""

import os
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from tunegate.client.errors import ProfileUnusable
from tunegate.contract.base import Wire
from tunegate.contract.secret import Secret

DEFAULT_URL = "http://127.0.0.1:8080"
URL_VARIABLE, TOKEN_VARIABLE = "TUNEGATE_URL", "TUNEGATE_TOKEN"


class Profile(Wire):
    """Where to call. `origin` says where the address came from, for people."""

    url: str
    token: Secret | None
    origin: str


class _Saved(Wire):
    url: str
    token: str | None = None


def profile_file(environment: Mapping[str, str] = os.environ) -> Path:
    """`$XDG_CONFIG_HOME/tunegate/gateway.json`, by default below ~/.config."""
    base = environment.get("XDG_CONFIG_HOME")
    return (Path(base) if base else Path.home() / ".config") / "tunegate" / "gateway.json"


def choose(
    url: str | None = None, token: str | None = None, environment: Mapping[str, str] = os.environ
) -> Profile:
    """The gateway to call. A saved token goes to the saved address only. Raises ProfileUnusable."""
    told = url or environment.get(URL_VARIABLE)
    token = token or environment.get(TOKEN_VARIABLE) or None
    saved = None if told and token else load(profile_file(environment))
    chosen = checked(told or (saved.url if saved else DEFAULT_URL))
    if token is None and saved is not None and checked(saved.url) == chosen:
        token = saved.token
    origin = (
        "argument" if url
        else URL_VARIABLE if told
        else str(profile_file(environment)) if saved
        else "default"
    )  # fmt: skip
    return Profile(url=chosen, token=Secret(token) if token else None, origin=origin)


def checked(url: str) -> str:
    """An http(s) address without a trailing slash. Raises ProfileUnusable."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname)
        usable = usable and parts.username is None and not parts.query and not parts.fragment
    except ValueError:
        usable = False
    if not usable:
        raise ProfileUnusable("a gateway's address is like https://tunegate.example.com")
    return url.rstrip("/")


def load(file: Path) -> _Saved | None:
    """What `tunegate login` saved; None = nothing. Raises ProfileUnusable where others could read it."""
    try:
        mode = file.stat().st_mode
        content = file.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ProfileUnusable(f"{file}: {error.strerror}") from None
    if mode & 0o077 and os.name == "posix":
        raise ProfileUnusable(f"{file} holds a token and others may read it: chmod 600 {file}")
    try:
        return msgspec.json.decode(content, type=_Saved)
    except msgspec.DecodeError:
        raise ProfileUnusable(f"{file} is damaged: run `tunegate login` again") from None


def save(file: Path, url: str, token: str | None) -> None:
    """Write the file so that nobody else can read it at any moment."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = file.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
        out.write(msgspec.json.encode(_Saved(url=url, token=token)))
    fresh.replace(file)
