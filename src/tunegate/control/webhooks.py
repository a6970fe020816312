"""How a webhook is sent: stored bytes, the client's own Authorization header, the headers of Standard Webhooks."""

from tunegate.control.outbound import Client, Reply
from tunegate.control.records import Delivery
from tunegate.control.sealed import SealedCallbacks
from tunegate.control.signing import Signer


class Webhooks:
    """Sends deliveries of the channel `webhook`."""

    def __init__(self, client: Client, signer: Signer | None) -> None:
        self._client = client
        self._signer = signer

    async def send(
        self, delivery: Delivery, callbacks: SealedCallbacks, now_ms: int
    ) -> Reply | None:
        """The answer; None when the job has no webhook. Raises the client's errors."""
        if callbacks.webhook_url is None:
            return None
        headers = self._headers(delivery, now_ms)
        if callbacks.auth_header is not None:
            headers["authorization"] = callbacks.auth_header.reveal()
        return await self._client.post(callbacks.webhook_url.reveal(), delivery.body, headers)

    def _headers(self, delivery: Delivery, now_ms: int) -> dict[str, str]:
        timestamp_s = now_ms // 1000
        headers = {
            "content-type": "application/json",
            "user-agent": "tunegate",
            "webhook-id": delivery.delivery_id,
            "webhook-timestamp": str(timestamp_s),
        }
        if self._signer is not None:
            signature = self._signer.sign(delivery.delivery_id, timestamp_s, delivery.body)
            headers["webhook-signature"] = signature
        return headers
