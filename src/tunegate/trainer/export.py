"""The result as a folder: weights, tokenizer, model card, settings, metrics; and its checks before anybody sees it."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import torch

from tunegate.contract.training import TrainingSpec
from tunegate.sdk.errors import TunegateError
from tunegate.trainer.card import model_card
from tunegate.trainer.data import DataReport
from tunegate.trainer.forward import CausalForward
from tunegate.trainer.state import TrainState
from tunegate.trainer.versions import versions

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

SAVED_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}


def export(
    folder: Path,
    spec: TrainingSpec,
    forward: CausalForward,
    tokenizer: "PreTrainedTokenizerBase",
    report: DataReport,
    state: TrainState,
) -> dict[str, float]:
    """Write and check the result; gives its metrics. Raises TunegateError artifact_invalid."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    _save_weights(folder, spec, forward)
    tokenizer.save_pretrained(folder)
    check_weights(folder)
    metrics, made_with = final_metrics(state), versions()
    (folder / "README.md").write_text(model_card(spec, report, metrics, made_with))
    _write_json(folder / "metrics.json", metrics)
    settings = msgspec.to_builtins(spec)
    del settings["storage"]  # the operator's own affairs
    record = {
        "spec": settings,
        "data": report,
        "versions": made_with,
        "resumed_at": state.resumed_at,
        "isolation": forward.isolation,
    }
    _write_json(folder / "training.json", record)
    return metrics


def final_metrics(state: TrainState) -> dict[str, float]:
    """The numbers of the whole training. Losses are means per target token."""
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
    }
    return {name: value for name, value in given.items() if value is not None}


def check_weights(folder: Path) -> None:
    """All weights finite, an adapter not without effect. Raises TunegateError artifact_invalid."""
    from safetensors import SafetensorError, safe_open

    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise TunegateError("artifact_invalid", "The result holds no weights.")
    ups: list[bool] = []
    for file in files:
        try:
            with safe_open(file, framework="pt") as weights:
                for name in weights.keys():  # noqa: SIM118 (no mapping)
                    tensor = weights.get_tensor(name)
                    if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
                        sentence = f"The trained weights of {name} are not finite."
                        raise TunegateError("artifact_invalid", sentence)
                    if "lora_B" in name or "lora_embedding_B" in name:
                        ups.append(bool(tensor.any()))
        except (SafetensorError, OSError) as error:
            sentence = f"The file {file.name} of the result can't be read back."
            raise TunegateError("artifact_invalid", sentence) from error
    if ups and not any(ups):
        raise TunegateError("artifact_invalid", "The adapter is still zero: nothing was learned.")


def _save_weights(folder: Path, spec: TrainingSpec, forward: CausalForward) -> None:
    model: Any = forward.model
    if spec.adapter is not None:
        # Without the explicit False, PEFT asks the hub whether the vocabulary was changed.
        model.save_pretrained(folder, save_embedding_layers=False)
        return
    model.to(SAVED_DTYPES[spec.precision])
    model.config.use_cache = True
    model.save_pretrained(folder)


def _write_json(path: Path, value: object) -> None:
    path.write_bytes(msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n")
