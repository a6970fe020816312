"""NEFTune: uniform noise on the embeddings while a model trains, which makes instruction tuning generalise better.

The noise comes from torch's own generator, which the loop seeds anew for every step: a resumed run draws the same.
"""

from typing import Any

import torch
from torch import Tensor, nn


def add_noise(causal: nn.Module, alpha: float) -> None:
    """From now on each pass in training mode adds up to alpha / sqrt(tokens * width) to every embedded number.

    `tokens` are those of the example itself, also where several lie packed in a row.
    """
    model: Any = causal
    noise = _Noise(alpha)
    model.base_model.register_forward_pre_hook(noise.see_positions, with_kwargs=True)
    model.get_input_embeddings().register_forward_hook(noise.disturb)


class _Noise:
    def __init__(self, alpha: float) -> None:
        self._alpha = alpha
        self._positions: Tensor | None = None

    def see_positions(self, _: nn.Module, __: tuple[Any, ...], arguments: dict[str, Any]) -> None:
        """The decoder is called: its position ids tell where examples begin; without them a row is one example."""
        self._positions = arguments.get("position_ids")

    def disturb(self, module: nn.Module, _: tuple[Any, ...], embedded: Tensor) -> Tensor:
        """The embedding has spoken."""
        if not module.training:
            return embedded
        tokens, width = embedded.shape[-2:]
        if self._positions is None:
            lengths = torch.full((tokens,), tokens, device=embedded.device)
        else:
            lengths = example_lengths(self._positions[0])
        largest = self._alpha / (lengths * width).sqrt()
        noise = torch.empty_like(embedded).uniform_(-1.0, 1.0)
        return embedded + noise * largest[:, None].to(embedded.dtype)


def example_lengths(positions: Tensor) -> Tensor:
    """For each token the length of the example that it is in; examples begin at position 0. No host sync."""
    number = (positions == 0).cumsum(0)
    counts = torch.zeros(len(positions) + 1, dtype=torch.long, device=positions.device)
    return counts.index_add_(0, number, torch.ones_like(number))[number]
