"""On whose behalf the gateway acts just now: what the audit log says beside each change."""

from contextvars import ContextVar

from tunegate.contract.base import Wire


class Caller(Wire):
    """Who asked, and in which request. `token` is what the token is called, never the token."""

    token: str
    request: str = ""


GATEWAY = Caller(token="gateway")  # noqa: S106  its own doing
TRAINER = "trainer"
ANONYMOUS = "anonymous"
"""Who calls a gateway without tokens."""

_CALLER: ContextVar[Caller] = ContextVar("caller", default=GATEWAY)


def current_caller() -> Caller:
    return _CALLER.get()


def act_for(token: str, request: str) -> None:
    """For the rest of this task."""
    _CALLER.set(Caller(token=token, request=request))
