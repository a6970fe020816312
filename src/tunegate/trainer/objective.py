"""What a training makes small: a loss per example, and numbers beside it."""

import math
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tunegate.trainer.data import PackedBatch
from tunegate.trainer.distributed.ranks import Ranks
from tunegate.trainer.forward import CausalForward


class Score(NamedTuple):
    """One forward pass: `losses` [n] of its examples, which carry the gradient, and the sums of `names` over them."""

    losses: Tensor
    sums: Tensor


class Objective(Protocol):
    """A step's loss is the sum of its examples' losses over the sum of their weights."""

    @property
    def forward(self) -> CausalForward: ...
    @property
    def names(self) -> tuple[str, ...]:
        """Metrics beside the loss."""
        ...

    def weights(self, batch: PackedBatch) -> NDArray[np.int64]:
        """What each example counts [n]."""
        ...

    def score(self, batch: PackedBatch) -> Score: ...
    def derived(self, loss: float) -> dict[str, float]:
        """Other forms of a mean loss."""
        ...


class Likelihood:
    """Supervised learning: cross entropy of the target tokens, every token the same."""

    names: tuple[str, ...] = ()

    def __init__(self, forward: CausalForward) -> None:
        self.forward = forward

    def weights(self, batch: PackedBatch) -> NDArray[np.int64]:
        return batch.targets_by_text

    def score(self, batch: PackedBatch) -> Score:
        losses = self.forward.text_losses(batch)
        return Score(losses, losses.new_empty(0))

    def derived(self, loss: float) -> dict[str, float]:
        return {"perplexity": math.exp(min(loss, 700.0))}


class Means(NamedTuple):
    """Of some batches: the mean loss, the means of the objective's `names`, and each example's loss over its weight."""

    loss: float
    values: dict[str, float]
    examples: list[int]
    losses: list[float]


class Counted(NamedTuple):
    """Of one process's batches: sums of the objective's `names`, and loss, weight and number of each example."""

    sums: NDArray[np.float64]
    losses: NDArray[np.float64]
    weights: NDArray[np.int64]
    examples: NDArray[np.int64]


class Scores:
    """Collects the scores of batches on the device and reads them there once."""

    def __init__(
        self,
        objective: Objective,
        ranks: Ranks = Ranks(),  # noqa: B008 (without state)
    ) -> None:
        self._objective = objective
        self._ranks = ranks
        self._batches: list[PackedBatch] = []
        self._tensors: list[Tensor] = []
        self._sent: Tensor | None = None
        self._arrived: torch.cuda.Event | None = None

    def add(self, batch: PackedBatch, score: Score) -> None:
        self._batches.append(batch)
        self._tensors.append(torch.cat((score.sums, score.losses.detach())))

    def total(self) -> Tensor:
        """All that was added, as one number on the device: finite where every part is."""
        return torch.stack([tensor.sum() for tensor in self._tensors]).sum()

    def send(self) -> Tensor:
        """Nothing more is added: start the copy to the host behind the work that makes the numbers."""
        sent = self._sent = torch.cat(self._tensors).double().to("cpu", non_blocking=True)
        if self._tensors[0].is_cuda:
            self._arrived = torch.cuda.Event()
            self._arrived.record()
        return sent

    def read(self) -> Means:
        """Waits for the device. Of several processes, the means over all of them."""
        parts = self._ranks.gather(self._counted())
        sums = np.sum([part.sums for part in parts], axis=0)
        losses = np.concatenate([part.losses for part in parts])
        weights = np.concatenate([part.weights for part in parts])
        return Means(
            loss=float(losses.sum() / weights.sum()),
            values=dict(zip(self._objective.names, (sums / weights.sum()).tolist(), strict=True)),
            examples=np.concatenate([part.examples for part in parts]).tolist(),
            losses=(losses / np.maximum(weights, 1)).tolist(),
        )

    def _counted(self) -> Counted:
        names = self._objective.names
        sums = np.zeros(len(names))
        if not self._batches:
            return Counted(sums, np.zeros(0), np.zeros(0, np.int64), np.zeros(0, np.int64))
        sent = self.send() if self._sent is None else self._sent
        if self._arrived is not None:
            self._arrived.synchronize()
        numbers = sent.numpy()
        losses: list[NDArray[np.float64]] = []
        for batch in self._batches:
            size = len(names) + len(batch.example_ids)
            sums += numbers[: len(names)]
            losses.append(numbers[len(names) : size])
            numbers = numbers[size:]
        return Counted(
            sums=sums,
            losses=np.concatenate(losses),
            weights=np.concatenate([self._objective.weights(batch) for batch in self._batches]),
            examples=np.concatenate([batch.example_ids for batch in self._batches]),
        )
