"""What a job may ask of Slurm by `extra_parameters`, and the operator by `[launchers.slurm.defaults]`."""

from typing import Annotated

from msgspec import Meta

from tunegate.contract.base import Strict

Word = Annotated[
    str, Meta(min_length=1, max_length=256, pattern=r"^[A-Za-z0-9_.,:@&|*()\[\]+=/ -]+$")
]


class SlurmOptions(Strict):
    """All are those of `sbatch`."""

    partition: Word | None = None
    queue: Word | None = None
    """The same as `partition`, by the name that all launchers know."""
    account: Word | None = None
    qos: Word | None = None
    constraint: Word | None = None
    """Features that the nodes must have, such as `a100&nvlink`."""
    nodelist: Word | None = None
    """Nodes that must be among the job's."""
    exclude: Word | None = None
    """Nodes that must not."""
    reservation: Word | None = None
    licenses: Word | None = None
    nice: Annotated[int, Meta(ge=0, le=2_000_000_000)] | None = None
    """Gives way to other jobs by so much priority."""
    exclusive: bool | None = None
    """Share the nodes with nobody."""
