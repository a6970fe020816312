"""What the machine could do at most: the rate of large matrix products, and how many operations a token needs.

`python -m tests.bench.limit` prints operations per CPU-second of one thread, in fp32 and in bf16.
"""

import time
from dataclasses import dataclass
from statistics import median

SIDE, REPEATS = 1536, 5


@dataclass(frozen=True)
class Shape:
    """A Llama as `tunegate.trainer.tiny` makes it, with grouped attention of half as many key heads."""

    hidden: int
    layers: int
    vocab: int

    def operations_per_token(self, supervised: float, rank: int = 16) -> float:
        """What LoRA on all linear layers can't do without.

        Frozen weights: 2 for the pass forward and 2 for the gradient of the input. Adapters: 2 more, for their own
        gradient. The head: only at the share of tokens that are scored. Attention itself is not counted.
        """
        hidden, half, inner = self.hidden, self.hidden // 2, _round_up(self.hidden * 11 // 4)
        sizes = [(hidden, hidden)] * 2 + [(hidden, half)] * 2 + [(hidden, inner)] * 3
        frozen = self.layers * sum(a * b for a, b in sizes)
        adapters = self.layers * sum(rank * (a + b) for a, b in sizes)
        return 4 * frozen + 6 * adapters + 4 * hidden * self.vocab * supervised


def _round_up(size: int) -> int:
    return -(-size // 64) * 64


def main() -> None:
    import torch

    torch.set_num_threads(1)
    for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        left, right = (torch.randn(SIDE, SIDE).to(dtype) for _ in range(2))
        left @ right
        times: list[float] = []
        for _ in range(REPEATS):
            began = time.process_time()
            left @ right
            left @ right
            times.append(time.process_time() - began)
        print(name, 4 * SIDE**3 / median(times))


if __name__ == "__main__":
    main()
