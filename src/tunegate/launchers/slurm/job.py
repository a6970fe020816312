"""A job as Slurm tells of it, whichever way it was asked."""

from tunegate.contract.base import Wire

MARK = "tunegate "
"""How the comments of our jobs begin; the digest of the run follows."""


class SlurmJob(Wire):
    """`states` holds the base state and its flags, in Slurm's words."""

    job_id: int
    name: str
    user: str
    comment: str
    states: tuple[str, ...]
    submitted_s: int
    reason: str = ""
    exit_code: int | None = None
    signal: int | None = None
    nodes: str = ""
