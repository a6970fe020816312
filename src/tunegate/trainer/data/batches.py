"""`BatchPlan`: which examples an optimizer step sees. A pure function of (seed, step), so resuming needs the step alone."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from tunegate.contract.training import TuningPlan
from tunegate.trainer.data.packing import PackedBatch, first_fit_decreasing, pack
from tunegate.trainer.data.share import Share
from tunegate.trainer.data.tokens import TokenStore

DEFAULT_MICRO_TOKENS = 2048
"""Budget of a micro batch when the job names none and its sequences are shorter."""
EVAL_WINDOW = 256
"""Examples packed together in evaluation."""


@dataclass(frozen=True, slots=True)
class BatchPlan:
    """Steps count from 0. An epoch's last step may be smaller; a weight of 2 shows a source's rows twice per epoch."""

    store: TokenStore
    batch_size: int
    micro_tokens: int
    packing: bool
    seed: int
    total_steps: int
    steps_per_epoch: int
    share: Share = field(default_factory=Share)
    """Which part of each batch is this process's; all else is the same in every one."""
    _orders: dict[int, NDArray[np.int64]] = field(default_factory=dict, repr=False, compare=False)

    def epochs_at(self, step: int) -> float:
        """Epochs that are over when `step` steps have been made."""
        return step / self.steps_per_epoch

    def examples(self, step: int) -> NDArray[np.int64]:
        """The examples of one optimizer step, as indices into the store."""
        epoch, place = divmod(step, self.steps_per_epoch)
        start = place * self.batch_size
        return self._order(epoch)[start : start + self.batch_size]

    def micro_batches(self, step: int) -> list[PackedBatch]:
        """The step's examples, each once, in forward passes of at most `micro_tokens` tokens.

        Scale each loss sum by the targets of the whole step, not of the micro batch, and the gradient is the same
        however the examples were packed. Without packing every forward pass holds one example. Of several processes
        each gets its share.
        """
        return list(_micro_batches(self.store, self.examples(step), self))

    def passes(self, step: int) -> list[NDArray[np.int64]]:
        """The examples of each of these forward passes; no token is read."""
        return _passes(self.store, self.examples(step), self)[0]

    def _order(self, epoch: int) -> NDArray[np.int64]:
        if epoch not in self._orders:
            self._orders.clear()
            self._orders[epoch] = epoch_order(self.store, self.seed, epoch)
        return self._orders[epoch]


def batch_plan(store: TokenStore, tuning: TuningPlan) -> BatchPlan:
    """The plan of a training. `max_steps` wins over `num_epochs`, which may be fractional.

    The token budget of a micro batch is micro_batch_size sequences of full length; when the job does not say, one
    sequence of full length, at least 2048 tokens.
    """
    budget = (
        tuning.micro_batch_size * tuning.max_sequence_length
        if tuning.micro_batch_size
        else max(tuning.max_sequence_length, DEFAULT_MICRO_TOKENS)
    )
    examples_per_epoch = len(epoch_order(store, tuning.seed, 0))
    steps_per_epoch = math.ceil(examples_per_epoch / tuning.batch_size)
    return BatchPlan(
        store=store,
        batch_size=tuning.batch_size,
        micro_tokens=budget,
        packing=tuning.packing,
        seed=tuning.seed,
        total_steps=tuning.max_steps or math.ceil(tuning.num_epochs * steps_per_epoch),
        steps_per_epoch=steps_per_epoch,
    )


def eval_batches(
    store: TokenStore, plan: BatchPlan, examples: NDArray[np.int64] | None = None
) -> Iterator[PackedBatch]:
    """Every example of a store once (or these), in a fixed order, with the plan's token budget; of several processes each gets its share."""
    if examples is None:
        examples = np.arange(len(store), dtype=np.int64)
    for start in range(0, len(examples), EVAL_WINDOW):
        window = examples[start : start + EVAL_WINDOW]
        yield from _micro_batches(store, window, plan)


def epoch_order(store: TokenStore, seed: int, epoch: int) -> NDArray[np.int64]:
    """The shuffled examples of one epoch; its length is the same for every epoch.

    A weight's whole part repeats all rows of its source, its fraction draws that share of them anew every epoch.
    """
    random = np.random.default_rng((seed, epoch))
    drawn: list[NDArray[np.int64]] = []
    for source, weight in enumerate(store.weights):
        rows = np.flatnonzero(store.source == source)
        times, rest = divmod(weight, 1.0)
        drawn.extend([rows] * int(times))
        share = round(rest * len(rows))
        if len(rows) and not share and not times:
            share = 1
        drawn.append(random.permutation(rows)[:share])
    return random.permutation(np.concatenate(drawn)).astype(np.int64)


def _micro_batches(
    store: TokenStore, examples: NDArray[np.int64], plan: BatchPlan
) -> Iterator[PackedBatch]:
    own, idle = _passes(store, examples, plan)
    for part in own:
        yield pack(store, part)
    if idle:
        shortest = examples[[int(store.lengths[examples].argmin())]]
        yield from [replace(pack(store, shortest), idle=True)] * idle


def _passes(
    store: TokenStore, examples: NDArray[np.int64], plan: BatchPlan
) -> tuple[list[NDArray[np.int64]], int]:
    """The examples of each forward pass of this process, and how many idle passes follow."""
    lengths = store.lengths[examples]

    def passes(part: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        if not plan.packing:
            return list(part[:, None])
        bins = first_fit_decreasing(lengths[part], plan.micro_tokens)
        return [part[positions] for positions in bins]

    own, idle = plan.share.of(lengths, passes)
    return [examples[positions] for positions in own], idle
