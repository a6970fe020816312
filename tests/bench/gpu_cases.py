"""What the GPU bench runs: Llamas with random weights, made where they are run, and how much work a token is."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from tests.bench import chats

from tunegate.contract.training import (
    AdapterPlan,
    DataSource,
    ModelSource,
    OutputPlan,
    QuantizationPlan,
    StoragePolicy,
    TrainingSpec,
    TuningPlan,
)

RANK = 16


@dataclass(frozen=True)
class Llama:
    """Sizes as in the configuration of the model that it is shaped like."""

    hidden: int
    inner: int
    layers: int
    heads: int
    key_heads: int
    vocab: int

    def linears(self) -> list[tuple[int, int]]:
        keys = self.hidden // self.heads * self.key_heads
        return (
            [(self.hidden, self.hidden)] * 2
            + [(self.hidden, keys)] * 2
            + [(self.hidden, self.inner)] * 3
        )

    def operations_per_token(self, supervised: float, seen: float) -> float:
        """4 per frozen weight (forward, and the gradient of the input), 6 per adapter weight, the head at labels.

        Attention: two products forward, four backward, over the `seen` tokens that a token sees on average.
        """
        frozen = sum(a * b for a, b in self.linears())
        adapters = sum(RANK * (a + b) for a, b in self.linears())
        each = 4 * frozen + 6 * adapters + 12 * seen * self.hidden
        return self.layers * each + 4 * self.hidden * self.vocab * supervised


SHAPES = {
    "tiny": Llama(128, 256, 2, 4, 2, 4096),
    "1b": Llama(2048, 8192, 16, 32, 8, 128256),
    "8b": Llama(4096, 14336, 32, 32, 8, 128256),
}


@dataclass(frozen=True)
class Plan:
    """How much is trained on: rows of chats, so many to a step that they fill `packed` rows of `length` tokens."""

    length: int
    packed: int
    batch: int
    steps: int
    middle_words: int


FULL = Plan(length=4096, packed=2, batch=20, steps=14, middle_words=110)
TINY = Plan(length=256, packed=2, batch=8, steps=6, middle_words=14)


def write_model(folder: Path, shape: Llama, device: str) -> None:
    """Random bf16 weights, made on the device, and a small tokenizer: the model's vocabulary may be larger."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from tunegate.trainer.tiny import make_tiny_tokenizer

    corpus = [row["messages"][1]["content"] for row in _chats(2000, 60)]  # type: ignore[index]
    make_tiny_tokenizer(corpus, 4096).save_pretrained(folder)
    config = LlamaConfig(
        vocab_size=shape.vocab, hidden_size=shape.hidden, intermediate_size=shape.inner,
        num_hidden_layers=shape.layers, num_attention_heads=shape.heads,
        num_key_value_heads=shape.key_heads, max_position_embeddings=8192, rope_theta=500000.0,
        bos_token_id=None, eos_token_id=2, pad_token_id=0, dtype="bfloat16",
    )  # fmt: skip
    torch.manual_seed(0)
    torch.set_default_dtype(torch.bfloat16)
    try:
        with torch.device(device):
            model = LlamaForCausalLM(config)
    finally:
        torch.set_default_dtype(torch.float32)
    model.save_pretrained(folder)


def write_rows(file: Path, plan: Plan) -> None:
    chats.write_rows(file, _chats(plan.batch * plan.steps, plan.middle_words))


def _chats(count: int, middle_words: int) -> list[dict[str, Any]]:
    return chats.rows(count, middle_words=middle_words)


def lengths(model: Path, plan: Plan) -> list[int]:
    """Tokens of each row, as far as they are trained on."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model)
    texts = [
        tokenizer.apply_chat_template(row["messages"], tokenize=False)
        for row in _chats(plan.batch * plan.steps, plan.middle_words)
    ]
    return [
        min(plan.length, len(ids))
        for ids in tokenizer(texts, add_special_tokens=False)["input_ids"]
    ]


def write_job(home: Path, model: Path, rows: Path, method: str, plan: Plan) -> Path:
    """Our own training of it, as a job of the trainer."""
    nf4 = QuantizationPlan(kind="nf4", double_quant=True, compute_dtype="bfloat16")
    spec = TrainingSpec(
        job_id=f"{model.name}-{method}",
        method="qlora" if method == "qlora" else "lora",
        model=ModelSource(name=str(model), provider="custom"),
        datasets=[DataSource(source=str(rows))],
        output=OutputPlan(output_uri=f"{home}/results/{model.name}-{method}/"),
        adapter=AdapterPlan(dropout=0.0, rank=RANK),
        quantization=nf4 if method == "qlora" else None,
        precision="bf16",
        tuning=TuningPlan(
            batch_size=plan.batch, num_epochs=1, lr_scheduler="constant", warmup_ratio=0.0,
            gradient_checkpointing=False, max_sequence_length=plan.length, held_out_fraction=0.0,
            micro_batch_size=plan.packed, logging_steps=1,
        ),
        storage=StoragePolicy(file_roots=[str(home)]),
    )  # fmt: skip
    job = home / f"{model.name}-{method}.json"
    job.write_bytes(msgspec.json.encode(spec))
    return job
