"""The result as a folder: weights, tokenizer, model card, curves, settings, metrics."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import torch

from tunegate.contract.attempt import ManifestFile
from tunegate.contract.training import TrainingSpec
from tunegate.trainer.card import licence_of, model_card
from tunegate.trainer.curves import draw_curves
from tunegate.trainer.data import DataReport
from tunegate.trainer.files import describe_files
from tunegate.trainer.forward import CausalForward
from tunegate.trainer.identity import TokenizerIdentity
from tunegate.trainer.initialisation import LOFTQ
from tunegate.trainer.merge import NotMergeable, merge_adapter
from tunegate.trainer.residual import give_back
from tunegate.trainer.state import TrainState
from tunegate.trainer.tensor_files import SHARD_BYTES
from tunegate.trainer.versions import versions
from tunegate.trainer.worst_rows import WorstRow, write_worst

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

SAVED_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}
MERGED = "merged"


@dataclass(frozen=True)
class Trained:
    """A training that came to its end, and what its result is made from.

    `base` is the base model's folder; `taken` is what the adapter took out of the base before the training (see
    `residual`); `origin` says for the record where the run stood: its digest, attempt and the checkpoints it took up.
    """

    spec: TrainingSpec
    forward: CausalForward
    tokenizer: "PreTrainedTokenizerBase"
    identity: TokenizerIdentity
    report: DataReport
    state: TrainState
    base: Path
    taken: dict[str, torch.Tensor]
    origin: Mapping[str, object]
    worst: list[WorstRow]


@dataclass(frozen=True)
class Export:
    """A result in its folder: `files` with the hashes that they had when they were written."""

    files: list[ManifestFile]
    metrics: dict[str, float]
    notes: list[str]


def export(folder: Path, trained: Trained) -> Export:
    """Write the result. Raises TunegateError artifact_not_finite when merging finds such weights."""
    spec, state = trained.spec, trained.state
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    _save_weights(folder, trained)
    trained.tokenizer.save_pretrained(folder)
    notes = _save_merged(folder, trained) if spec.output.merge_adapter and spec.adapter else []
    metrics, made_with = final_metrics(state), versions()
    licence = licence_of(trained.base)
    card = model_card(spec, trained.report, metrics, made_with, licence, trained.worst)
    (folder / "README.md").write_text(card)
    curves = {"loss": state.losses, "eval_loss": state.eval_losses}
    (folder / "curves.svg").write_text(draw_curves(curves))
    _write_json(folder / "metrics.json", metrics)
    write_worst(folder / "worst_rows.jsonl", trained.worst)
    settings = msgspec.to_builtins(spec)
    del settings["storage"]  # the operator's own affairs
    record = {
        "spec": settings,
        "data": trained.report,
        "tokenizer": trained.identity,
        "versions": made_with,
        "resumed_at": state.resumed_at,
        **trained.origin,
        "isolation": trained.forward.isolation,
    }
    _write_json(folder / "training.json", record)
    return Export(files=describe_files(folder), metrics=metrics, notes=notes)


def final_metrics(state: TrainState) -> dict[str, float]:
    """The numbers of the whole training. Losses are means per target token, with objective dpo per pair."""
    given: dict[str, float | None] = {
        "steps": float(state.step),
        "tokens": float(state.tokens),
        "train_seconds": state.seconds,
        "tokens_per_s": state.tokens / max(state.seconds, 1e-9),
        "first_loss": state.first_loss,
        "loss": state.last_loss,
        "first_eval_loss": state.first_eval_loss,
        "eval_loss": state.last_eval_loss,
        "best_eval_loss": state.best_eval_loss,
        **state.eval_values,
    }
    return {name: value for name, value in given.items() if value is not None}


def _save_weights(folder: Path, trained: Trained) -> None:
    model: Any = trained.forward.model
    if trained.spec.adapter is not None:
        # Without the explicit False, PEFT asks the hub whether the vocabulary was changed.
        model.save_pretrained(folder, save_embedding_layers=False)
        if trained.taken:
            give_back(folder, trained.taken)
        return
    model.to(SAVED_DTYPES[trained.spec.precision])
    model.config.use_cache = True
    model.save_pretrained(folder, max_shard_size=SHARD_BYTES)


def _save_merged(folder: Path, trained: Trained) -> list[str]:
    """The merged model beside the adapter, ready to be served; or a note that says why there is none."""
    adapter = trained.spec.adapter
    if adapter is not None and adapter.options.get("init_lora_weights") == LOFTQ:
        return ["the adapter was not merged: it makes up for the error of 4-bit weights"]
    try:
        merge_adapter(folder, trained.base, folder / MERGED)
    except NotMergeable as error:
        return [f"the adapter was not merged: {error}"]
    trained.tokenizer.save_pretrained(folder / MERGED)
    return []


def _write_json(path: Path, value: object) -> None:
    path.write_bytes(msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n")
