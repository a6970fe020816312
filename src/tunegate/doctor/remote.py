"""The gateway that commands ask: its address, the token, whether it answers and is well."""

from collections.abc import Iterator
from urllib.parse import urlsplit

from tunegate import __version__
from tunegate.client import (
    ApiError,
    Client,
    Forbidden,
    GatewayUnreachable,
    ProfileUnusable,
    Retrying,
    Unauthorized,
)
from tunegate.doctor import Finding, ok, trouble, warning

AREA = "client"


def check_remote(url: str | None) -> Iterator[Finding]:
    try:
        gateway = Client(url, retrying=Retrying(tries=2))
    except ProfileUnusable as error:
        yield trouble(AREA, "address", str(error), "run `tunegate login URL` again, or set TUNEGATE_URL")  # fmt: skip
        return
    profile = gateway.profile
    yield ok(AREA, "address", f"{profile.url} ({profile.origin})")
    if profile.token is not None and _in_clear(profile.url):
        yield warning(AREA, "address", "the token is sent in clear over http", "use the gateway's https address")  # fmt: skip
    with gateway:
        yield from _answers(gateway)


def _answers(gateway: Client) -> Iterator[Finding]:
    profile = gateway.profile
    try:
        page = gateway.list_jobs(limit=1)
        version = gateway.version()
    except GatewayUnreachable as error:
        if profile.origin == "default":
            yield ok(AREA, "gateway", "none is named, and none runs here; `tunegate login URL` names one")  # fmt: skip
        else:
            yield trouble(AREA, "gateway", str(error), "is it running, is the address right, and is nothing (a proxy, a firewall) in between?")  # fmt: skip
        return
    except Unauthorized:
        what = "refuses this token" if profile.token else "wants a token"
        yield trouble(AREA, "token", f"the gateway {what}", "ask its operator (`tunegate token create`), then `tunegate login URL`")  # fmt: skip
        return
    except Forbidden as error:
        yield trouble(AREA, "token", error.detail, error.advice)
        return
    except ApiError as error:
        yield trouble(AREA, "gateway", f"{error.code}: {error.detail}", error.advice)
        return
    yield ok(AREA, "gateway", f"answers, with jobs of yours: {'yes' if page.data else 'none yet'}")
    if _minor(version) != _minor(__version__):
        yield warning(AREA, "version", f"the gateway is {version}, this is {__version__}", f"pip install 'tunegate=={version}'")  # fmt: skip
    else:
        yield ok(AREA, "version", f"{version} there, {__version__} here")


def _in_clear(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme == "http" and parts.hostname not in {"127.0.0.1", "localhost", "::1"}


def _minor(version: str) -> list[str]:
    return version.split(".")[:2]
