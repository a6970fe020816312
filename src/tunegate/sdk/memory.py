"""The memory that a training needs, from sizes alone: the one formula of the gateway and the trainer. Pure.

What autograd keeps per token is counted tensor by tensor, as the trainer's forward pass keeps it; a test holds it against
autograd itself. `make bench-memory` holds the whole against the peaks of real trainings.
"""

from collections.abc import Iterable

import msgspec

from tunegate.contract.base import Wire
from tunegate.contract.training import TrainingSpec
from tunegate.sdk.architecture import Architecture
from tunegate.sdk.memory_kept import Numbers, kept_per_token, numbers_of, passing_per_token

MB = 10**6
BASE_CPU = 426 * MB
"""Python, torch, transformers and the trainer with its data mapped: resident memory before the first step less the
weights (396 MB), and code and buffers that the first passes touch (30), measured with `make bench-memory`."""
BASE_PEFT, BASE_BITSANDBYTES, BASE_HALVES = 12 * MB, 47 * MB, 18 * MB
"""The same of these libraries, which only some jobs import, and of oneDNN's products in bf16."""
BASE_CUDA = 600 * MB
"""A CUDA context with the kernels of torch and cuBLAS's workspace, outside of torch's own count: usual for recent
GPUs; not measured by the bench, which runs on the processor."""
SLACK_CPU, SLACK_CUDA = 0.85, 0.1
"""What the allocator holds beside the activations, as a share of them. On a CPU nearly as much again,
measured with `make bench-memory`: glibc before 2.38 can't give a freed aligned block to a request of the same size.
On a GPU a guess at the usual fragmentation, not measured."""
RECOMPUTED_AGAIN = 2
"""Blocks whose memory the heap of a CPU still holds while the next one is computed again: from the same bench."""
MOST_LOGITS = 64 * 2**20
"""Logits that the trainer makes at once where the output layer trains (trainer/loss.py)."""
CPU_CHUNK, GPU_CHUNK = 2**20, 2**26
"""The same of an output layer that does not train (trainer/kernels/head.py)."""
KEPT_TOKENS = 512
LOGIT_BYTES = 12
"""fp32: log-probabilities, their gradient and that of the logits, which are there together."""
ABSMAX_4BIT, ABSMAX_DOUBLE = 4 / 64, 1 / 64 + 4 / (64 * 256)
"""bitsandbytes: one fp32 scale for 64 weights; with double quantisation a byte, and an fp32 scale for 256 of those."""
STATE_BYTES = {
    "adamw": 8.0, "adamw_torch": 8.0, "sgd": 0.0, "muon": 4.0, "adafactor": 0.02,
    "adamw_8bit": 2.03, "paged_adamw_8bit": 2.03, "lion_8bit": 1.02,
}  # fmt: skip
"""Optimizer state per weight: two fp32 moments, one for Muon's matrices; 8-bit moments have an fp32 scale for 256 of
them; Adafactor keeps a number per row and per column of a matrix."""
STEP_COPIES = {"adafactor": 3, "muon": 3, "adamw_8bit": 2, "paged_adamw_8bit": 2, "lion_8bit": 2}
"""fp32 copies of the largest matrix while an optimizer that is no single kernel steps."""
VIRTUAL = frozenset({"PROMPT_TUNING", "P_TUNING", "PREFIX_TUNING", "IA3", "LN_TUNING", "VERA"})
"""PEFT types whose weights are too few to matter."""


class LargestPass(Wire):
    """The forward pass of a training that needs most. `accumulated`: a step makes several passes."""

    tokens: int
    targets: int
    pairs: int = 0
    """Pairs of tokens whose attention is kept, as `kept_pairs` counts them."""
    accumulated: bool = True


class MemoryNeed(Wire):
    """Bytes at the peak of a step, on the device where one process trains."""

    base: int
    """Interpreter and libraries; on a GPU its context."""
    weights: int
    adapters: int
    gradients: int
    optimizer: int
    activations: int
    """With what the backward pass needs at its height besides."""
    logits: int
    slack: int
    """What the allocator holds beside the tensors of a pass."""
    total: int
    """The parts together, except that gradients and activations of a step with one pass do not meet at their heights."""

    @property
    def standing(self) -> int:
        """What is there before the first step."""
        return self.base + self.weights + self.adapters


def predict(
    spec: TrainingSpec,
    architecture: Architecture,
    largest: LargestPass,
    *,
    cuda: bool,
    shards: int = 1,
    lean: bool | None = None,
) -> MemoryNeed:
    """`shards`: processes that divide the weights among them; `lean`: see `Numbers`, by default as images for GPUs are."""
    numbers = numbers_of(spec, cuda=cuda, lean=cuda if lean is None else lean)
    blocks = _trained_blocks(spec, architecture)
    adapters = adapter_weights(spec, architecture)
    trained = trainable_weights(spec, architecture)
    gradients = 4 * trained // shards
    block = _block(spec, architecture, numbers, largest)
    activations = _activations(spec, architecture, numbers, largest, blocks, block)
    logits = _logit_bytes(spec, numbers) * min(
        largest.targets * architecture.vocabulary, _chunk(spec, cuda=cuda)
    )
    largest_matrix = 4 * _largest_matrix(spec, architecture, trained)
    passing = largest.tokens * passing_per_token(numbers, architecture)
    height = activations + max(logits, passing)
    slack = round((SLACK_CUDA if cuda else SLACK_CPU) * activations)
    if spec.tuning.gradient_checkpointing and not cuda:
        slack += RECOMPUTED_AGAIN * block
    waiting = gradients + largest_matrix if largest.accumulated else 0
    stepping = gradients + STEP_COPIES.get(spec.tuning.optimizer, 0) * largest_matrix
    need = MemoryNeed(
        base=_base(spec, numbers),
        weights=_weights(spec, architecture, numbers) // shards,
        adapters=4 * adapters // shards,
        gradients=gradients,
        optimizer=round(_state_bytes(spec, architecture, trained) / shards),
        activations=activations + max(0, passing - logits),
        logits=logits,
        slack=slack,
        total=0,
    )
    total = need.standing + need.optimizer + max(waiting + height + slack, stepping)
    return msgspec.structs.replace(need, total=total)


def kept_pairs(lengths: Iterable[int]) -> int:
    """Pairs of tokens whose attention the trainer keeps on a CPU (trainer/kernels/segments.py).

    Of each text the first 512 tokens with what they see, in blocks of 64.
    """
    shortened = (min(length, KEPT_TOKENS) for length in lengths)
    return sum(length * (length + 64) // 2 for length in shortened)


def trainable_weights(spec: TrainingSpec, architecture: Architecture) -> int:
    if spec.adapter is not None:
        return adapter_weights(spec, architecture)
    if (share := _share_of_blocks(spec, architecture)) < 1.0:
        return round(share * architecture.layers * architecture.block_weights)
    return architecture.parameters


def adapter_weights(spec: TrainingSpec, architecture: Architecture) -> int:
    """Rank * (inputs + outputs) for each layer that the adapter goes on."""
    plan = spec.adapter
    if plan is None or plan.peft_type.upper() in VIRTUAL:
        return 0
    shapes = architecture.chosen_linears(plan.target_modules).values()
    per_block = plan.rank * sum(inputs + outputs for inputs, outputs in shapes)
    return round(_share_of_blocks(spec, architecture) * architecture.layers * per_block)


def _trains_head(spec: TrainingSpec) -> bool:
    return spec.adapter is None and not _chosen_blocks(spec)


def _chunk(spec: TrainingSpec, *, cuda: bool) -> int:
    if _trains_head(spec):
        return MOST_LOGITS
    return GPU_CHUNK if cuda else CPU_CHUNK


def _logit_bytes(spec: TrainingSpec, numbers: Numbers) -> int:
    """One kernel turns the logits of a frozen layer into their gradient where they stand."""
    return numbers.compute_bytes if numbers.lean and not _trains_head(spec) else LOGIT_BYTES


def _base(spec: TrainingSpec, numbers: Numbers) -> int:
    if numbers.cuda:
        return BASE_CUDA
    eight_bit = spec.quantization is not None or "8bit" in spec.tuning.optimizer
    extras = {
        BASE_PEFT: spec.adapter is not None,
        BASE_BITSANDBYTES: eight_bit,
        BASE_HALVES: numbers.compute_bytes == 2,
    }
    return BASE_CPU + sum(size for size, there in extras.items() if there)


def _weights(spec: TrainingSpec, architecture: Architecture, numbers: Numbers) -> int:
    blocks = architecture.layers * architecture.block_weights
    plan = spec.quantization
    if plan is None:
        per_weight = float(numbers.weight_bytes)
    elif plan.kind == "int8":
        per_weight = 1.0
    else:
        per_weight = 0.5 + (ABSMAX_DOUBLE if plan.double_quant else ABSMAX_4BIT)
    return round(blocks * per_weight + architecture.edge_weights * numbers.weight_bytes)


def _activations(
    spec: TrainingSpec,
    architecture: Architecture,
    numbers: Numbers,
    largest: LargestPass,
    blocks: int,
    block: int,
) -> int:
    """What waits for the backward pass: of all blocks, or their inputs and one block that is computed again."""
    hidden = architecture.hidden
    ends = largest.tokens * hidden * 4 * (2 if spec.adapter is None else 1)
    if numbers.casts_weights and spec.adapter is None:
        ends += 2 * architecture.vocabulary * hidden
    if not spec.tuning.gradient_checkpointing:
        return blocks * block + ends
    inputs = largest.tokens * hidden * numbers.residual_bytes
    return blocks * inputs + block + ends


def _block(
    spec: TrainingSpec, architecture: Architecture, numbers: Numbers, largest: LargestPass
) -> int:
    """What one block keeps."""
    pairs = 0 if numbers.cuda else 4 * architecture.heads * largest.pairs
    block = largest.tokens * kept_per_token(numbers, architecture) + pairs
    if numbers.casts_weights:
        block += 2 * (
            architecture.block_weights
            if spec.adapter is None
            else adapter_weights(spec, architecture) // architecture.layers
        )
    return block


def _state_bytes(spec: TrainingSpec, architecture: Architecture, trained: int) -> float:
    optimizer = spec.tuning.optimizer
    if optimizer == "muon" and spec.adapter is None:
        edges = min(trained, architecture.edge_weights)
        return 8.0 * edges + STATE_BYTES[optimizer] * (trained - edges)
    return STATE_BYTES[optimizer] * trained


def _largest_matrix(spec: TrainingSpec, architecture: Architecture, trained: int) -> int:
    if spec.adapter is not None:
        return min(trained, spec.adapter.rank * max(architecture.inner, architecture.hidden))
    block = architecture.hidden * architecture.inner
    if _share_of_blocks(spec, architecture) < 1.0:
        return min(trained, block)
    return min(trained, max(block, architecture.vocabulary * architecture.hidden))


def _chosen_blocks(spec: TrainingSpec) -> set[int]:
    if not spec.trainable_layers or spec.trainable_layers_advisory:
        return set()
    numbers = (name.rpartition(".")[2] for name in spec.trainable_layers)
    return {int(number) for number in numbers if number.isdecimal()}


def _share_of_blocks(spec: TrainingSpec, architecture: Architecture) -> float:
    chosen = _chosen_blocks(spec)
    return min(1.0, len(chosen) / architecture.layers) if chosen else 1.0


def _trained_blocks(spec: TrainingSpec, architecture: Architecture) -> int:
    """Blocks that the backward pass comes to: those above the first one that trains, and that one."""
    chosen = _chosen_blocks(spec)
    return architecture.layers - min(min(chosen, default=0), architecture.layers - 1)
