"""The history of a job's webhooks, and the request to send some of them again."""

from typing import Annotated, Literal

from msgspec import Meta

from tunegate.contract.base import Strict, Wire
from tunegate.contract.request import Uri
from tunegate.contract.secret import Secret

DeliveryId = Annotated[str, Meta(max_length=256)]


class WebhookTry(Wire):
    """One try. `result` is `delivered`, or why not, without anything of the receiver's answer but its status."""

    timestamp: str
    result: str


class WebhookDelivery(Wire):
    """One webhook of a job. `id` is its `webhook-id` header, the same in every try."""

    id: str
    sequence: int
    """The event that it tells of."""
    final: bool
    outcome: Literal["waiting", "delivered", "dead"]
    """dead: given up after the last try, or not worth sending any more."""
    created_at: str
    next_try_at: str | None
    ended_at: str | None
    tries: list[WebhookTry]
    """The latest twenty, oldest first."""


class WebhookPage(Wire):
    """`GET /train/{job_id}/webhooks`, oldest first."""

    data: list[WebhookDelivery]
    has_more: bool


class ReplayRequest(Strict):
    """The body of `POST /train/{job_id}/webhooks/replay`; all of it may be left out."""

    ids: Annotated[
        Annotated[list[DeliveryId], Meta(min_length=1, max_length=1000)] | None,
        Meta(
            description="Exactly these, delivered or dead. Default: the dead ones behind the newest that was delivered."
        ),
    ] = None
    webhook_url: Annotated[
        Uri | None,
        Meta(description="Send them, and all that follow, here. Needed once the job's own address was destroyed."),
    ] = None  # fmt: skip
    auth_header: Annotated[
        Secret | None, Meta(description="Sent as the Authorization header; goes with webhook_url.")
    ] = None


class ReplayResult(Wire):
    """How many webhooks wait to be sent again."""

    replayed: int
