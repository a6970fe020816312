"""Who calls: a tenant with its limits."""

from tunegate.contract.base import Wire


class Principal(Wire):
    """The holder of a token. Jobs belong to `name`; other tenants' jobs can't be seen."""

    name: str
    read_only: bool = False
    """May look, may not submit, cancel, retry or forget."""
    uri_prefixes: list[str] | None = None
    """Data, weights and results must lie below one of these (None = anywhere). Hub names and callbacks are not limited."""
    backends: list[str] | None = None
    """The backends that may be used (None = any)."""
    max_gpus: int | None = None
    """GPUs that all unfinished jobs together may ask for (None = no limit)."""
