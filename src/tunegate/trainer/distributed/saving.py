"""What the other ranks do while rank 0 saves: nothing where all have the whole, else they give their parts."""

from typing import TYPE_CHECKING

from tunegate.trainer.checkpoint import take_snapshot
from tunegate.trainer.distributed.ranks import Ranks
from tunegate.trainer.stop import StopFlag

if TYPE_CHECKING:
    from tunegate.trainer.loop import Loop


class HelpingSaver:
    """Of ranks but the first. `sharded`: rank 0 announces each snapshot, and all take it together."""

    saved_step: int | None = None

    def __init__(self, ranks: Ranks, *, sharded: bool) -> None:
        self._ranks = ranks
        self._sharded = sharded

    def due(self, step: int) -> bool:
        del step
        return self._announced()

    def save(self, loop: "Loop") -> None:
        take_snapshot(loop, "")

    def finish(self, loop: "Loop", stop: StopFlag) -> None:
        """As often as rank 0 tries."""
        del stop
        while self._announced():
            self.save(loop)

    def resumed(self, step: int) -> None:
        """Rank 0 keeps count."""

    def wait(self) -> None:
        """Nothing is on its way here."""

    def _announced(self) -> bool:
        return self._sharded and self._ranks.broadcast(False)
