"""`Share`: how several processes divide the examples of a batch among them. Pure, so nobody has to be asked."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Positions = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Share:
    """The part of process `rank` of `world`. `even`: all must make the same number of passes, be it for nothing."""

    rank: int = 0
    world: int = 1
    even: bool = False

    def of(
        self, lengths: NDArray[np.int64], passes: Callable[[Positions], list[Positions]]
    ) -> tuple[list[Positions], int]:
        """Positions of this process's examples, pass by pass, and how many idle passes follow.

        `lengths` are those of the batch's examples; `passes` puts some of them into forward passes.
        """
        if self.world == 1:
            return passes(np.arange(len(lengths))), 0
        parts = divide(lengths, self.world)
        own = passes(parts[self.rank])
        most = max(len(passes(part)) for part in parts) if self.even else len(own)
        return own, most - len(own)


def divide(lengths: NDArray[np.int64], world: int) -> list[Positions]:
    """Parts with nearly the same number of tokens: the longest first, each to whom has least. Some may be empty."""
    parts: list[list[int]] = [[] for _ in range(world)]
    tokens = [0] * world
    for position in np.argsort(-lengths, kind="stable").tolist():
        least = tokens.index(min(tokens))
        parts[least].append(position)
        tokens[least] += int(lengths[position])
    return [np.array(sorted(part), np.int64) for part in parts]
