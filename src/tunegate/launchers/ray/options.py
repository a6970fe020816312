"""What a job may ask of Ray by `extra_parameters`."""

from typing import Annotated

from msgspec import Meta

from tunegate.contract.base import Strict

LabelKey = Annotated[str, Meta(pattern=r"^[A-Za-z0-9]([-A-Za-z0-9_./]{0,126}[A-Za-z0-9])?$")]
LabelValue = Annotated[str, Meta(pattern=r"^(!?(in\([-A-Za-z0-9_., ]+\)|[-A-Za-z0-9_.]{0,63}))$")]
Resource = Annotated[str, Meta(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9_.:-]+$")]


class RayOptions(Strict):
    """All count for each of the job's nodes."""

    node_selector: dict[LabelKey, LabelValue] = {}
    """Labels that the nodes must have, as Ray writes them: `us-east`, `!spot`, `in(A100, H100)`."""
    custom_resources: dict[Resource, Annotated[float, Meta(gt=0)]] = {}
    """Amounts of the cluster's custom resources."""
