"""`Ranks`: what a training needs of the others, and what that is for one process alone: nothing."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from tunegate.trainer.distributed.place import ALONE, Place
from tunegate.trainer.stop import StopFlag

if TYPE_CHECKING:
    from torch import Tensor, nn

T = TypeVar("T")


class Ranks:
    """One process. Every method of several (`Group`) is a collective: all ranks call it, in the same order."""

    place: Place = ALONE
    sharded = False
    """Whether the ranks hold parts of the weights; else each has them all."""

    @property
    def is_main(self) -> bool:
        return self.place.is_main

    @property
    def alone(self) -> bool:
        return self.place.world == 1

    def check(self, stop: StopFlag) -> None:
        """Raise StopRequested on all ranks, or on none."""
        stop.check()

    def check_between(self, stop: StopFlag) -> None:
        """Where ranks do different amounts of work: a stop that only one process may take by itself."""
        stop.check()

    def rendezvous(self, name: str, stop: StopFlag) -> None:
        """Until all are here, however long that takes: before a collective that follows on work of unequal length.

        Raises StopRequested, or TunegateError when a rank is lost.
        """

    def on_node(self, name: str, value: T | None, stop: StopFlag) -> T:
        """The value that the first rank of each node has, for all of the node."""
        del name, stop
        if value is None:
            raise ValueError("the first rank of a node must have a value")
        return value

    def broadcast(self, value: T) -> T:
        """What rank 0 has."""
        return value

    def gather(self, value: T) -> list[T]:
        """What all have, by rank."""
        return [value]

    def total(self, numbers: Sequence[int]) -> list[int]:
        """Sums over the ranks."""
        return list(numbers)

    def add_up(self, array: Any) -> None:
        """A numpy array becomes the sum over the ranks."""

    def sum_gradients(self, parameters: Iterable["nn.Parameter"]) -> None:
        """Every replica's gradient becomes the sum of all; one that nobody has stays None."""

    def align(self, parameters: Iterable["nn.Parameter"]) -> None:
        """Replicas become those of rank 0."""

    def spread(self, tensors: Mapping[str, "Tensor"] | None) -> Iterator[tuple[str, "Tensor"]]:
        """The tensors that rank 0 has on its CPU, one after the other, on every CPU."""
        yield from (tensors or {}).items()

    def close(self) -> None:
        """The last call."""
