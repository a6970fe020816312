"""Tokens as operators see and make them."""

from typing import Annotated

from msgspec import Meta

from tunegate.contract.base import Strict, Wire
from tunegate.contract.request import Name
from tunegate.contract.secret import Secret

TEN_YEARS_S = 315_360_000
Lifetime = Annotated[float, Meta(gt=0, le=TEN_YEARS_S)]
Names = Annotated[list[Name], Meta(min_length=1, max_length=64)]
UriPrefix = Annotated[str, Meta(min_length=1, max_length=2048)]


class NewToken(Strict):
    """The body of `POST /tokens`. What is left out is not limited."""

    tenant: Annotated[Name, Meta(description="Its jobs are the tenant's; several tokens may share one.")]  # fmt: skip
    label: Annotated[str, Meta(max_length=128, description="For people: whose it is, or what for.")] = ""  # fmt: skip
    read_only: bool = False
    admin: Annotated[bool, Meta(description="May make and revoke tokens, and read the audit log.")] = False  # fmt: skip
    uri_prefixes: Annotated[
        Annotated[list[UriPrefix], Meta(min_length=1, max_length=256)] | None,
        Meta(description="Data, weights and results must lie below one of these."),
    ] = None
    backends: Names | None = None
    launchers: Names | None = None
    max_gpus: Annotated[
        Annotated[int, Meta(ge=0)] | None, Meta(description="GPUs that its running jobs may hold; further jobs wait.")
    ] = None  # fmt: skip
    max_jobs: Annotated[Annotated[int, Meta(ge=0)] | None, Meta(description="Unfinished jobs at once.")] = None  # fmt: skip
    expires_in_s: Annotated[Lifetime | None, Meta(description="Default: it does not expire.")] = None  # fmt: skip


class Rotation(Strict):
    """The body of `POST /tokens/{token_id}/rotate`; may be left out."""

    overlap_s: Annotated[
        Annotated[float, Meta(ge=0, le=TEN_YEARS_S)],
        Meta(description="So long the old token goes on working. Default: a day."),
    ] = 86_400.0


class Token(Wire):
    """A token without its secret. Times are RFC 3339 in UTC."""

    token_id: str
    tenant: str
    label: str
    read_only: bool
    admin: bool
    uri_prefixes: list[str] | None
    backends: list[str] | None
    launchers: list[str] | None
    max_gpus: int | None
    max_jobs: int | None
    created_at: str
    expires_at: str | None
    revoked_at: str | None
    last_used_at: str | None
    """To the minute or so."""
    usable: bool


class TokenList(Wire):
    """`GET /tokens`, oldest first."""

    data: list[Token]


class IssuedToken(Wire):
    """A new token. `secret` is shown this once; only its hash is kept."""

    token: Token
    secret: Secret
