"""Bytes per token that one block of a decoder keeps for the backward pass, by how the trainer computes it. Pure."""

from tunegate.contract.base import Wire
from tunegate.contract.training import TrainingSpec
from tunegate.sdk.architecture import Architecture

_BYTES = {"bf16": 2, "fp16": 2, "fp32": 4}
_COMPUTE = {"bfloat16": "bf16", "float16": "fp16", "float32": "fp32"}
_ATTENTION = ("q_proj", "k_proj", "v_proj")
_MLP = ("gate_proj", "up_proj")


class Numbers(Wire):
    """In which numbers a training computes and keeps what it needs again."""

    cuda: bool
    lean: bool
    """Norms and the MLP's inner part keep nothing but their inputs (trainer/kernels/liger.py)."""
    full: bool
    """All weights train; else adapters on frozen ones."""
    weight_bytes: int
    compute_bytes: int
    fused: bool
    """Adapters run in one step with their layer (trainer/lora.py): plain LoRA without dropout on weights of 16 or 4 bits."""
    dropout: bool
    own_inputs: bool
    """Each adapter layer keeps a cast copy of its input; else neighbours share it."""
    rank: int = 0
    targets: list[str] | None = None

    @property
    def residual_bytes(self) -> int:
        """Of a number that goes from block to block."""
        return self.weight_bytes if self.full else self.compute_bytes

    @property
    def casts_weights(self) -> bool:
        """Weights that train are fp32; autocast keeps halves of them beside."""
        return self.compute_bytes == 2


def numbers_of(spec: TrainingSpec, *, cuda: bool, lean: bool = False) -> Numbers:
    """As trainer/device.py chooses them."""
    plan, quantised = spec.adapter, spec.quantization
    name: str = spec.precision
    if quantised is not None and quantised.kind != "int8":
        name = _COMPUTE[quantised.compute_dtype]
    compute = _BYTES[name]
    options = {} if plan is None else plan.options
    plain = plan is not None and plan.peft_type.upper() == "LORA" and not options.get("use_dora")
    dropout = plan is not None and plan.dropout > 0
    return Numbers(
        cuda=cuda,
        lean=lean,
        full=plan is None,
        weight_bytes=4 if spec.method == "full" else compute,
        compute_bytes=compute,
        fused=plain and not dropout and (quantised is None or quantised.kind != "int8"),
        dropout=dropout,
        own_inputs=compute == 2,
        rank=0 if plan is None else plan.rank,
        targets=None if plan is None else plan.target_modules,
    )


def kept_per_token(numbers: Numbers, architecture: Architecture) -> int:
    """Attention, the gated MLP, two norms, and the inputs of linear layers whose weights or adapters train."""
    size = numbers.compute_bytes
    norms = 2 * 4 * architecture.hidden * (2 if numbers.full else 1)
    mlp = 3 * size * architecture.inner
    if numbers.lean:
        norms = 2 * numbers.residual_bytes * architecture.hidden
        mlp = 2 * size * architecture.inner
    inputs = _full_inputs(numbers, architecture) if numbers.full else _inputs(numbers, architecture)
    return _attention(numbers, architecture) + mlp + norms + inputs


def passing_per_token(numbers: Numbers, architecture: Architecture) -> int:
    """At the height of a block's backward pass: gradients of the MLP's three inner results and of its ends."""
    return 3 * numbers.compute_bytes * architecture.inner + 2 * 4 * architecture.hidden


def _attention(numbers: Numbers, architecture: Architecture) -> int:
    """Queries, keys, values, and the result, which is the next layer's input too. A CPU computes in fp32."""
    query, key = architecture.query_size, architecture.key_value_size
    if numbers.cuda:
        return numbers.compute_bytes * (2 * query + 2 * key) + 4 * architecture.heads
    return 4 * (query + 2 * key) + numbers.compute_bytes * query


def _full_inputs(numbers: Numbers, architecture: Architecture) -> int:
    """The residual stream is fp32, so each layer casts its input for itself."""
    times = (3, 2) if numbers.compute_bytes == 2 else (1, 1)
    return numbers.compute_bytes * (sum(times) * architecture.hidden + architecture.inner)


def _inputs(numbers: Numbers, architecture: Architecture) -> int:
    layers = architecture.chosen_linears(numbers.targets)
    size, hidden = numbers.compute_bytes, architecture.hidden
    narrow = size * numbers.rank * len(layers)
    if numbers.dropout:  # the mask, in fp32, and what it leaves
        return narrow + sum((4 + size) * inputs for inputs, _ in layers.values())
    if not numbers.fused and numbers.own_inputs:
        return narrow + sum(size * inputs for inputs, _ in layers.values())
    shared = sum(hidden for group in (_ATTENTION, _MLP) if any(name in layers for name in group))
    others = sum(
        inputs for name, (inputs, _) in layers.items() if name not in (*_ATTENTION, *_MLP, "o_proj")
    )  # that of o_proj is the attention's result
    return narrow + size * (shared + others)
