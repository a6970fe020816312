"""The claim: the first act of a run that a gateway launched, before anything heavy is imported."""

import random

from tunegate.contract.attempt import ClaimGrant
from tunegate.sdk.clock import Clock
from tunegate.sdk.errors import TunegateError
from tunegate.trainer.gateway import Gateway, GatewayRefused, GatewayUnreachable

PATIENCE_S = 60.0
LONGEST_PAUSE_S = 8.0


async def claim_attempt(client: Gateway, clock: Clock) -> ClaimGrant:
    """Claim, and try again for a minute. Raises TunegateError superseded or gateway_unreachable."""
    give_up_at_s = clock.monotonic_s() + PATIENCE_S
    pause_s = 0.5
    while True:
        try:
            return await client.claim()
        except GatewayRefused as error:
            raise TunegateError("superseded") from error
        except GatewayUnreachable as error:
            if clock.monotonic_s() + pause_s > give_up_at_s:
                sentence = f"The gateway did not grant the claim within a minute: {error}."
                raise TunegateError("gateway_unreachable", sentence) from error
        await clock.sleep(pause_s * random.uniform(0.8, 1.2))  # noqa: S311 (spreads the load)
        pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
