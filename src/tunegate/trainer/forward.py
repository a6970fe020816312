"""`CausalForward`: how this very model is run on packed rows. What holds for it is tried out, not presumed."""

import itertools
import logging
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from tunegate.sdk.errors import TunegateError
from tunegate.trainer import attention
from tunegate.trainer.data.packing import IGNORED, PackedBatch
from tunegate.trainer.device import Device, Precision
from tunegate.trainer.kernels.liger import lay
from tunegate.trainer.lora import fuse
from tunegate.trainer.loss import head_losses, logits_losses, sum_by_text

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_log = logging.getLogger(__name__)
KNOWN_LAYERS = frozenset({"full_attention", "sliding_attention"})
PROBE_LENGTH = 6
CLOSE = {torch.float32: 1e-3, torch.bfloat16: 0.04, torch.float16: 0.02}
"""Largest difference, relative to the largest value, that still counts as rounding."""
NO_ROUNDING = 1e-3
"""The same where the shapes are the same: a causal model gives the very same numbers again."""


class Isolation(StrEnum):
    """What keeps packed examples apart, best first."""

    SEGMENTS = "segments"
    """Our attention, which runs each segment by itself."""
    MASK = "mask"
    """A block-diagonal mask, which transformers makes from positions that start anew."""
    SINGLE = "single"
    """One example per pass: right for every model."""

    @property
    def sentence(self) -> str:
        """For the log."""
        return ISOLATIONS[self]


ISOLATIONS = {
    Isolation.SEGMENTS: "packed examples: each has an attention of its own",
    Isolation.MASK: "packed examples: kept apart by a mask, for this model can't be run segment by segment",
    Isolation.SINGLE: "packed examples: none, for this model mixes them; it sees one example at a time",
}


@dataclass(frozen=True, slots=True)
class Row:
    """One forward pass on the device. The output at `positions` is scored against `targets`, `counts` of them a text."""

    input_ids: Tensor
    position_ids: Tensor
    borders: Tensor
    longest: int
    positions: Tensor
    targets: Tensor
    counts: Tensor


@dataclass(frozen=True)
class CausalForward:
    """Loss of packed rows. `model` is the whole thing (PEFT wrapper or not), `causal` the language model in it."""

    model: nn.Module
    causal: "PreTrainedModel"
    device: Device
    precision: Precision
    isolation: Isolation
    bare_head: bool
    """Whether the output layer alone makes the logits (no scaling, no capping)."""
    lean: bool
    """Whether norms, rotary positions and the MLPs' inner part are kernels that keep nothing but their inputs."""

    def loss(self, batch: PackedBatch) -> Tensor:
        """Summed cross entropy of the batch's targets in fp32."""
        return self.text_losses(batch).sum()

    def text_losses(self, batch: PackedBatch) -> Tensor:
        """The same text by text [m]; one pass, or one per text."""
        with self.precision.autocast(self.device):
            if self.isolation is not Isolation.SINGLE:
                return self._row_losses(_row(batch, self.device))
            return torch.cat([self._single(part) for part in _texts(batch)])

    def _single(self, text: PackedBatch) -> Tensor:
        if not text.num_targets:
            return torch.zeros(1, device=self.device.torch_device)
        return self._row_losses(_row(text, self.device))

    def _row_losses(self, row: Row) -> Tensor:
        if self.bare_head:
            head: Any = self.causal.get_output_embeddings()
            vocab = self.causal.config.get_text_config().vocab_size
            losses = head_losses(head, self.hidden(row), row.positions, row.targets, vocab)
        else:
            logits = self.model(**self._arguments(row)).logits
            virtual = logits.shape[1] - row.input_ids.shape[1]  # a prompt method's, before the row
            losses = logits_losses(logits, row.positions + virtual, row.targets)
        return sum_by_text(losses, row.counts)

    def hidden(self, row: Row) -> Tensor:
        """Outputs of the last block [1, T, size]."""
        decoder: Any = self.causal.base_model
        return decoder(**self._arguments(row)).last_hidden_state

    def features(self, row: Row) -> Tensor:
        """What a token's loss is made from: hidden states, or logits where those are not within reach."""
        if self.causal.base_model is self.causal:
            return self.model(**self._arguments(row)).logits
        return self.hidden(row)

    def _arguments(self, row: Row) -> dict[str, Any]:
        # An attention mask of ones, or a cache, would let packed examples see each other: neither is ever passed.
        arguments: dict[str, Any] = {"input_ids": row.input_ids, "use_cache": False}
        if self.isolation is not Isolation.SINGLE:
            arguments["position_ids"] = row.position_ids
        if self.isolation is Isolation.SEGMENTS:
            arguments |= {
                "cu_seq_lens_q": row.borders, "cu_seq_lens_k": row.borders,
                "max_length_q": row.longest, "max_length_k": row.longest,
            }  # fmt: skip
        return arguments


def probe(model: nn.Module, device: Device, precision: Precision) -> CausalForward:
    """Find out how to run this model: the best isolation under which one example does not change another.

    Raises TunegateError model_invalid for a model from which nothing can be learned.
    """
    wrapper: Any = model
    causal: Any = model
    if hasattr(model, "get_base_model"):
        causal = wrapper.get_base_model()
        fuse(model)
    was_training = model.training
    model.eval()
    _require_sound(causal, device, precision)
    lean = _lay_kernels(causal, device, precision)
    virtual_tokens = hasattr(model, "prompt_encoder") and bool(wrapper.prompt_encoder)
    settings: dict[str, Any] = {
        "model": model, "causal": causal, "device": device, "precision": precision, "lean": lean,
        "bare_head": not virtual_tokens and _has_bare_head(causal, device, precision),
    }  # fmt: skip
    found = CausalForward(isolation=Isolation.SINGLE, **settings)
    if not virtual_tokens:
        for isolation in (Isolation.SEGMENTS, Isolation.MASK):
            candidate = CausalForward(isolation=isolation, **settings)
            if _may(causal, isolation) and _isolates(candidate):
                found = candidate
                break
    _use_attention(causal, found.isolation)
    model.train(was_training)
    return found


def _use_attention(causal: Any, isolation: Isolation) -> None:
    if isolation is Isolation.SEGMENTS:
        causal.set_attn_implementation(attention.NAME)
    else:
        try:
            causal.set_attn_implementation("sdpa")
        except ValueError:
            causal.set_attn_implementation("eager")


def _may(causal: Any, isolation: Isolation) -> bool:
    """Models that run without masks elsewhere (flash attention) name their window to the attention; others may not."""
    if isolation is Isolation.MASK:
        return True
    kinds = getattr(causal.config.get_text_config(), "layer_types", None) or KNOWN_LAYERS
    return bool(causal._supports_flash_attn) and KNOWN_LAYERS.issuperset(kinds)  # noqa: SLF001


@torch.no_grad()
def _require_sound(causal: Any, device: Device, precision: Precision) -> None:
    """Refuse weights that give no numbers, and encoders: their loss falls because they see what they should foretell."""
    _use_attention(causal, Isolation.SINGLE)
    size = causal.config.get_text_config().vocab_size
    ids = torch.arange(2 * PROBE_LENGTH) * 7 % min(size, 101)
    other = torch.cat((ids[:PROBE_LENGTH], ids[:PROBE_LENGTH].flip(0)))
    with precision.autocast(device):
        logits, changed = (
            causal(input_ids=tokens[None].to(device.torch_device), use_cache=False).logits.float()
            for tokens in (ids, other)
        )
    if not bool(torch.isfinite(logits).all()):
        sentence = "The base model computes numbers that are not finite: its weights are damaged, or need a wider precision."
        raise TunegateError("model_invalid", sentence)
    early = (logits - changed)[:, :PROBE_LENGTH].abs().amax(-1)
    if bool((early > NO_ROUNDING * logits.abs().max()).all()):
        sentence = f"The base model is a {causal.config.model_type} that sees later tokens: it is no causal language model."
        raise TunegateError("model_invalid", sentence)


@torch.no_grad()
def _lay_kernels(causal: Any, device: Device, precision: Precision) -> bool:
    """Put liger-kernel's in where the model computes the same with them."""
    row = _probe_row(torch.arange(PROBE_LENGTH), [0, PROBE_LENGTH], device)

    def logits() -> Tensor:
        with precision.autocast(device):
            return causal(input_ids=row.input_ids, use_cache=False).logits

    _use_attention(causal, Isolation.SINGLE)
    plain = logits()
    undo = None
    try:
        undo = lay(causal, device)
        if undo is None or _close(logits(), plain, precision):
            return undo is not None
    except Exception as error:  # noqa: BLE001 (a compiler's, a driver's: all mean that it does without)
        _log.warning("liger-kernel is not used: %s", error)
    if undo is not None:
        undo()
    return False


@torch.no_grad()
def _isolates(candidate: CausalForward) -> bool:
    """Whether the second of two packed examples comes out as it does alone, in plain attention."""
    size = candidate.causal.config.get_text_config().vocab_size
    ids = torch.arange(2 * PROBE_LENGTH) * 7 % min(size, 101)
    both = _probe_row(ids, [0, PROBE_LENGTH, 2 * PROBE_LENGTH], candidate.device)
    alone = _probe_row(ids[PROBE_LENGTH:], [0, PROBE_LENGTH], candidate.device)
    plain = replace(candidate, isolation=Isolation.SINGLE)
    with candidate.precision.autocast(candidate.device):
        _use_attention(candidate.causal, plain.isolation)
        expected = plain.features(alone)
        _use_attention(candidate.causal, candidate.isolation)
        try:
            packed = candidate.features(both)[:, PROBE_LENGTH:]
        except (attention.NotSegmentable, TypeError, ValueError, RuntimeError, AttributeError):
            return False
    return _close(packed, expected, candidate.precision)


@torch.no_grad()
def _has_bare_head(causal: Any, device: Device, precision: Precision) -> bool:
    """Whether the model's logits are what its output layer makes of its last hidden states."""
    row = _probe_row(torch.arange(PROBE_LENGTH), [0, PROBE_LENGTH], device)
    _use_attention(causal, Isolation.SINGLE)
    head = causal.get_output_embeddings()
    if head is None or causal.base_model is causal:
        return False
    with precision.autocast(device):
        logits = causal(input_ids=row.input_ids, use_cache=False).logits
        made = head(causal.base_model(input_ids=row.input_ids, use_cache=False).last_hidden_state)
    return made.shape == logits.shape and _close(made, logits, precision)


def _close(left: Tensor, right: Tensor, precision: Precision) -> bool:
    difference = (left.float() - right.float()).abs().max()
    return bool(difference <= CLOSE[precision.compute] * right.float().abs().max())


def _probe_row(ids: Tensor, borders: list[int], device: Device) -> Row:
    sizes = [end - start for start, end in itertools.pairwise(borders)]
    tokens = ids[None].numpy()
    batch = PackedBatch(
        input_ids=tokens,
        labels=np.full_like(tokens, IGNORED),
        position_ids=np.concatenate([np.arange(size) for size in sizes])[None],
        cu_seqlens=np.array(borders, np.int32),
        example_ids=np.arange(len(sizes)),
        num_targets=0,
    )
    return _row(batch, device)


def _row(batch: PackedBatch, device: Device) -> Row:
    following = batch.labels[0, 1:]
    positions = np.flatnonzero(
        following != IGNORED
    )  # here, for a device would have to be waited for
    return Row(
        input_ids=device.take(batch.input_ids),
        position_ids=device.take(batch.position_ids),
        borders=device.take(batch.cu_seqlens),
        longest=batch.max_length,
        positions=device.take(positions),
        targets=device.take(following[positions]),
        counts=device.take(batch.targets_by_text),
    )


def _texts(batch: PackedBatch) -> list[PackedBatch]:
    """The batch's texts as batches of their own."""
    borders = itertools.pairwise(batch.cu_seqlens.tolist())
    return [
        PackedBatch(
            input_ids=batch.input_ids[:, start:end],
            labels=batch.labels[:, start:end],
            position_ids=batch.position_ids[:, start:end],
            cu_seqlens=np.array([0, end - start], np.int32),
            example_ids=batch.example_ids[:1],
            num_targets=int(targets),
        )
        for (start, end), targets in zip(borders, batch.targets_by_text, strict=True)
    ]
