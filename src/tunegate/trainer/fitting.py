"""How large a forward pass may be: foretold before the first step, and smaller each time that the memory did not suffice.

The batch stays what it is: it only goes through the model in more and smaller passes, whose gradients add up.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from tunegate.contract.training import TrainingSpec
from tunegate.sdk.architecture import Architecture
from tunegate.sdk.errors import TunegateError
from tunegate.sdk.memory import MB, LargestPass, MemoryNeed, kept_pairs, predict
from tunegate.trainer.data import BatchPlan
from tunegate.trainer.distributed.ranks import Ranks
from tunegate.trainer.reporter import Reporter

EXAMPLES_SEEN = 4096
"""Of the training: the passes of its first steps stand for all."""
BEYOND_DOUBT = 1.25
"""A job is refused only when it needs so much more than there is; the prediction may err."""
HALVINGS = 12
ADVICE = (
    "lower max_sequence_length, turn gradient_checkpointing on, use qlora, or take a larger device"
)

Predict = Callable[[LargestPass], MemoryNeed]


def predictor(
    spec: TrainingSpec, config: dict[str, object], *, cuda: bool, lean: bool, shards: int
) -> Predict | None:
    """What a pass needs, or None for an architecture whose configuration does not tell its sizes."""
    architecture = Architecture.from_config(config)
    if architecture is None:
        return None

    def need(largest: LargestPass) -> MemoryNeed:
        return predict(spec, architecture, largest, cuda=cuda, shards=shards, lean=lean)

    return need


def most_needed(plan: BatchPlan, need: Predict) -> MemoryNeed:
    """Of the forward passes that the plan makes."""
    return max((need(one) for one in _passes(plan)), key=lambda found: found.total)


def fit(plan: BatchPlan, need: Predict, free: int) -> int:
    """The tokens of a pass that fit into `free` bytes besides what stands already: the plan's own, or fewer.

    Raises TunegateError out_of_memory when not even the longest example can fit.
    """

    def lacking(tokens: int) -> float:
        found = most_needed(replace(plan, micro_tokens=tokens), need)
        return (found.total - found.standing) / max(free, 1)

    most = plan.micro_tokens
    if lacking(most) <= 1.0:
        return most
    least = min(most, int(plan.store.lengths.max()))
    if (share := lacking(least)) > 1.0 or not plan.packing:
        if share > BEYOND_DOUBT:
            raise _hopeless(share * free, free)
        return least
    for _ in range(HALVINGS):
        middle = (least + most) // 2
        least, most = (middle, most) if lacking(middle) <= 1.0 else (least, middle)
    return least


def smaller(plan: BatchPlan, tokens: int, examples: int) -> int:
    """The tokens of a pass after one of so many tokens and examples was too large; 0 when it can't be divided."""
    return 0 if examples < 2 or not plan.packing else tokens // 2


def fitted(
    plan: BatchPlan, need: Predict, free: int, ranks: Ranks, reporter: Reporter
) -> BatchPlan:
    """The plan with passes that fit the memory of every rank. Raises TunegateError out_of_memory."""
    reporter.say(describe(most_needed(plan, need), free))
    tokens = min(ranks.gather(fit(plan, need, free)))
    if tokens < plan.micro_tokens:
        reporter.note(
            f"forward passes have at most {tokens} tokens in place of {plan.micro_tokens}, for more are not foreseen "
            "to fit into the memory; the batch stays the same"
        )
    return replace(plan, micro_tokens=tokens)


def eased(plan: BatchPlan, kills: int, reporter: Reporter) -> BatchPlan:
    """The plan with passes halved once for each attempt that was killed for its memory, down to the longest example."""
    longest = int(plan.store.lengths.max())
    tokens = max(plan.micro_tokens >> kills, min(longest, plan.micro_tokens))
    if kills and tokens < plan.micro_tokens:
        reporter.note(
            f"forward passes have at most {tokens} tokens in place of {plan.micro_tokens}, for {kills} attempt(s) before "
            "were killed for their memory; the batch stays the same"
        )
    return replace(plan, micro_tokens=tokens)


def describe(found: MemoryNeed, free: int) -> str:
    """A line for the log."""
    parts = ", ".join(
        f"{name} {getattr(found, name) / MB:.0f}"
        for name in ("base", "weights", "adapters", "gradients", "optimizer", "activations", "logits", "slack")
    )  # fmt: skip
    return f"memory: about {found.total / MB:.0f} MB at the peak ({parts}); {free / MB:.0f} MB are free now"


def given_up(step: int) -> TunegateError:
    sentence = (
        f"The memory does not suffice for one example at a time, seen at step {step}: {ADVICE}."
    )
    return TunegateError("out_of_memory", sentence)


def _hopeless(needed: float, free: int) -> TunegateError:
    sentence = f"One example at a time needs about {needed / MB:.0f} MB more, and {free / MB:.0f} MB are free: {ADVICE}."
    return TunegateError("out_of_memory", sentence)


def _passes(plan: BatchPlan) -> Iterator[LargestPass]:
    """The passes of the first steps, and the longest example of all by itself."""
    rows = plan.store.rows
    lengths, targets = plan.store.lengths, rows["targets"]
    steps = min(plan.total_steps, plan.steps_per_epoch, -(-EXAMPLES_SEEN // plan.batch_size))
    longest = np.array([int(lengths.argmax())])

    def one(examples: NDArray[np.int64], *, accumulated: bool) -> LargestPass:
        texts = lengths[examples].tolist()
        if plan.store.pairs:
            chosen = rows["chosen"][examples].tolist()
            rejected = [text - first for text, first in zip(texts, chosen, strict=True)]
            texts = chosen + rejected
        return LargestPass(
            tokens=sum(texts),
            targets=int(targets[examples].sum()),
            pairs=kept_pairs(texts),
            accumulated=accumulated,
        )

    yield one(longest, accumulated=plan.batch_size > 1)
    for step in range(steps):
        passes = plan.passes(step)
        for examples in passes:
            yield one(examples, accumulated=len(passes) > 1)
