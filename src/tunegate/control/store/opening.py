"""Opening the store when a gateway starts: a database that is started beside it may need a while longer."""

from collections.abc import Callable

from tunegate.control.store.errors import StoreUnsafe
from tunegate.control.store.protocol import JobStore
from tunegate.sdk.clock import Clock
from tunegate.sdk.errors import TunegateError

PAUSE_S = 1.0


async def open_patiently(
    store: JobStore, wait_s: float, clock: Clock, tell: Callable[[str], None]
) -> None:
    """Try for `wait_s`; `tell` hears of each new reason why it does not open. Raises what the last try raised."""
    end_s = clock.monotonic_s() + wait_s
    told = None
    while True:
        try:
            return await store.open()
        except (StoreUnsafe, TunegateError) as error:
            reason = reason_of(error)
            if reason != told:
                tell(reason)
            told = reason
            if isinstance(error, StoreUnsafe) or clock.monotonic_s() >= end_s:
                raise
        await clock.sleep(PAUSE_S)


def reason_of(error: StoreUnsafe | TunegateError) -> str:
    """For operators: with the database's own words, which name hosts and users and never a password (see `conninfo`)."""
    if isinstance(error, StoreUnsafe) or error.__cause__ is None:
        return str(error)
    words = " ".join(str(error.__cause__).split())
    return f"{error} ({words or type(error.__cause__).__name__})"
