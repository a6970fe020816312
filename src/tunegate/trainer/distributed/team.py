"""`Team`: this process's part in the job's processes, from before anything heavy is imported to the last word."""

import contextlib
import os
import secrets as random_names
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from tunegate.sdk.errors import TunegateError
from tunegate.trainer.background import Background
from tunegate.trainer.distributed.peers import Peers
from tunegate.trainer.distributed.place import Place
from tunegate.trainer.distributed.ranks import Ranks
from tunegate.trainer.stop import StopFlag, StopRequested

if TYPE_CHECKING:
    from torch.distributed import Store

JOIN_S = 600.0
"""Until the last process of a job must be there: nodes of one job may pull their images one after the other."""
HEARD_S = 3.0
"""After a collective broke, until it is known why."""
GOODBYE_S = 10.0
CALL_OFF_S = 30.0
LINE = "line"
LOOPBACK = ("127.0.0.1", "localhost", "::1")


class Team:
    """For one process alone all of this is nothing."""

    def __init__(self, place: Place, stop: StopFlag, background: Background) -> None:
        self.place = place
        self._stop = stop
        self._background = background
        self._peers = Peers(place.rank, place.world, stop)
        self._ranks: Ranks | None = None
        self._over = False

    def join(self, *, sharded: bool = False, within_s: float = JOIN_S) -> Ranks:
        """Meet the others. Raises StopRequested, or TunegateError rank_lost when some do not come."""
        if self.place.world == 1:
            return Ranks()
        from tunegate.trainer.distributed.group import Group, lost

        if self.place.master_addr in LOOPBACK:
            os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")

        def meet() -> "Store":
            store = self._store(within_s)
            self._connect(store, within_s)
            return store

        try:
            store = self._background.wait(self._background.aside(meet), self._stop)
            self._ranks = Group(self.place, store, self._peers, sharded=sharded)
        except (TunegateError, StopRequested):
            raise
        except Exception as error:
            raise lost(error) from error
        return self._ranks

    def call_off(self, error: TunegateError) -> None:
        """On rank 0, instead of the training: what the others wait for will not come."""
        if self.place.world == 1 or self._over:
            return
        with contextlib.suppress(Exception):
            self.join(within_s=CALL_OFF_S)
            self.leave(error)

    def when_stuck(self, act: Callable[[TunegateError], None]) -> None:
        """What to do when another rank has failed and this one's main thread hangs."""
        self._peers.on_stuck = act

    def explain(self, error: Exception) -> Exception:
        """What really happened: a rank that failed elsewhere breaks the collectives of all others."""
        if self._ranks is None or isinstance(error, TunegateError | StopRequested):
            return error
        failure = self._peers.wait_for_failure(HEARD_S if isinstance(error, RuntimeError) else 0.0)
        if failure is not None:
            return failure
        if self._stop.reason is not None and isinstance(error, RuntimeError):
            return StopRequested(self._stop.reason)
        if _is_of_a_collective(error):
            from tunegate.trainer.distributed.group import lost

            return lost(error)
        return error

    def leave(self, failure: TunegateError | None = None) -> None:
        """Tell the others. Call it once, before anything that takes long."""
        if self._ranks is None:
            if failure is not None and self.place.is_main:
                self.call_off(failure)
            return
        self._over = True
        ranks, self._ranks = self._ranks, None
        known = failure is not None and failure is self._peers.failure
        leaving = self._background.start(self._peers.leave(None if known else failure))
        try:
            leaving.result(GOODBYE_S)
        except TimeoutError:
            leaving.cancel()
        if failure is None:
            ranks.close()

    def _store(self, within_s: float) -> "Store":
        from torch.distributed import PrefixStore, TCPStore

        place = self.place
        options: dict[str, Any] = {}
        if place.is_main and place.listener is not None:
            options["master_listen_fd"] = place.listener
        store = TCPStore(
            place.master_addr, place.master_port, place.world, place.is_main and not place.served,
            timedelta(seconds=within_s), wait_for_workers=False, **options,
        )  # fmt: skip
        return PrefixStore(f"tunegate-{place.life}", store)

    def _connect(self, store: "Store", within_s: float) -> None:
        if not self.place.is_main:
            port, word = store.get(LINE).decode().split()
            address = self._peers.connect(self.place.master_addr, int(port), word)
            self._background.run(address, self._stop)
            return
        word = random_names.token_hex(16)
        host = "127.0.0.1" if self.place.master_addr in LOOPBACK else "0.0.0.0"  # noqa: S104
        port = self._background.run(self._peers.listen(host, word))
        store.set(LINE, f"{port} {word}")
        self._background.run(self._peers.all_present(within_s), self._stop)


def _is_of_a_collective(error: Exception) -> bool:
    text = str(error)
    return isinstance(error, RuntimeError) and ("gloo" in text or "NCCL" in text)
