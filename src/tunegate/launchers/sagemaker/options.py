"""The keys of `extra_parameters` that this launcher takes."""

from typing import Annotated

from msgspec import Meta

from tunegate.contract.base import Strict


class SageMakerOptions(Strict):
    """Not given = as the operator has set it."""

    instance_type: str | None = None
    """One of the operator's table, such as ml.g5.2xlarge, instead of the one chosen from `resources`."""
    spot: bool | None = None
    """Spot capacity, or none."""
    volume_gb: Annotated[int, Meta(ge=1, le=16_384)] | None = None
    """Disk of every instance."""
