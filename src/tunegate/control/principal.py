"""Who calls: a tenant with its limits."""

from typing import Annotated

from msgspec import Meta

from tunegate.contract.base import Wire

Prefixes = Annotated[list[str], Meta(max_length=256)]


class Principal(Wire):
    """The holder of a token. Jobs belong to the tenant `name`; other tenants' jobs can't be seen.

    Several tokens may be of one tenant. None = no limit.
    """

    name: str
    token: str = ""
    """What the token is called in the audit log."""
    read_only: bool = False
    """May look, may not submit, cancel, retry or forget."""
    admin: bool = False
    """May make and revoke tokens, and read the audit log."""
    uri_prefixes: Prefixes | None = None
    """Data, weights and results must lie below one of these. Hub names and callbacks are not limited."""
    backends: list[str] | None = None
    """The backends that may be used."""
    launchers: list[str] | None = None
    """The launchers that may be used; a job that names none runs on the first of them that is there."""
    max_gpus: int | None = None
    """GPUs that the tenant's running jobs together may hold; further jobs wait their turn."""
    max_jobs: int | None = None
    """Unfinished jobs that the tenant may have at once."""
